/* Begins, feeds, asks and resets examinations in any order, by any rule within the format's limits.
 *
 * The first bytes are the bundle's labels, its rule and its guard; each further one is a call, with bytes of a frame and of
 * probabilities behind it. What must hold after every call is checked. SPDX-License-Identifier: Apache-2.0 */
#include "runtime/opened_bundle.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SIDE 6
#define PIXELS (SIDE * SIDE * 3)
#define MAX_LABELS 7

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct reader {
    const uint8_t *data;
    size_t size, at;
} reader;

static uint8_t next(reader *from) { return from->at < from->size ? from->data[from->at++] : 0; }

static uint64_t number(reader *from, int bytes) {
    uint64_t found = 0;
    for (int i = 0; i < bytes; i++) {
        found = found << 8 | next(from);
    }
    return found;
}

/* A bundle of nothing but what frames need; it is the session too, which gives any probabilities, or fails. */
typedef struct opened {
    weckd_bundle *bundle;
    reader *source;
    void *parts[8];
    size_t count;
} opened;

static int run(void *session, weckd_error error) {
    opened *own = session;
    if (next(own->source) == 255) {
        return weckd_fail(error, WECKD_ERR_RUN, "told to fail");
    }
    for (uint32_t i = 0; i < own->bundle->contract.classes; i++) {
        uint32_t bits = next(own->source);
        own->bundle->probabilities[i] = (float)bits / 253.0f;
        if (bits == 255) { /* any number, or none */
            bits = (uint32_t)number(own->source, 4);
            memcpy(&own->bundle->probabilities[i], &bits, sizeof bits);
        }
    }
    return WECKD_OK;
}

static uint64_t no_time(void *context) {
    (void)context;
    return 0;
}

static const weckd_backend RUNS = {.name = "fuzz", .run = run};

static void read_edges(reader *from, weckd_exam_edges *edges) {
    edges->count = next(from) % (WECKD_EXAM_MAX_EDGES + 1);
    double at = (double)next(from) / 64.0 - 1.0;
    for (uint32_t i = 0; i < edges->count; i++) {
        edges->at[i] = at;
        at += (1.0 + next(from)) / 512.0;
    }
}

static void read_rule(reader *from, weckd_exam_rule *rule) {
    uint8_t flags = next(from);
    rule->votes = (flags & 1) != 0;
    rule->ranks_by_confidence = (flags & 2) != 0;
    rule->has_distance = (flags & 4) != 0;
    rule->has_lead = (flags & 8) != 0;
    rule->top_k = (flags & 16) != 0 ? next(from) % (WECKD_EXAM_MAX_TOP_K + 1) : 0;
    rule->max_frames = (flags & 32) != 0 ? 1 + (uint32_t)number(from, 2) % WECKD_EXAM_MAX_FRAMES : 1 + next(from) % 16u;
    rule->min_frames = 1 + (uint32_t)number(from, 2) % rule->max_frames;
    read_edges(from, &rule->sharpness);
    read_edges(from, &rule->confidence);
    for (uint32_t i = 0; i <= rule->sharpness.count; i++) {
        for (uint32_t j = 0; j <= rule->confidence.count; j++) {
            rule->weights[i][j] = next(from);
            rule->heaviest = rule->weights[i][j] > rule->heaviest ? rule->weights[i][j] : rule->heaviest;
        }
    }
    rule->scale = ldexp(1.0 + next(from), -(int)(next(from) % 64));
    rule->duplicate_distance = ldexp(next(from), (int)(next(from) % 64) - 32);
    rule->stop_lead = (int64_t)(number(from, 6) % (uint64_t)(WECKD_EXAM_MAX_LEAD + 1));
    rule->confidence_threshold = next(from) / 255.0;
}

static void *take(opened *own, size_t bytes) {
    size_t whole = (bytes + WECKD_ALIGN - 1) / WECKD_ALIGN * WECKD_ALIGN;
    uint8_t *memory = aligned_alloc(WECKD_ALIGN, whole);
    if (memory == NULL) {
        abort();
    }
    memset(memory, 0, whole);
    own->parts[own->count++] = memory;
    return memory;
}

static void read_guard(weckd_guard_state *guard, reader *from) {
    guard->guard.max_dark.is_set = true;
    guard->guard.max_dark.value = next(from) / 255.0;
    for (int i = 0; i < WECKD_GUARD_FEATURES; i++) {
        guard->guard.whitening[i][i] = ldexp(next(from), -6);
    }
    weckd_guard_set_grid(guard, SIDE, SIDE);
}

static void open_bundle(opened *own, reader *from) {
    weckd_exam_rule rule = {0};
    weckd_bundle *bundle = own->bundle = take(own, sizeof *bundle);
    uint32_t classes = 1 + next(from) % MAX_LABELS;
    uint8_t flags = next(from);
    const weckd_front_end_spec spec = {
        .frame_width = SIDE, .frame_height = SIDE, .width = SIDE, .height = SIDE,
        .network_width = (flags & 1) != 0 ? SIDE : 0, .network_height = (flags & 1) != 0 ? SIDE : 0};
    own->source = from;
    read_rule(from, &rule);
    bundle->contract.classes = classes;
    bundle->contract.frame_width = bundle->contract.frame_height = SIDE;
    bundle->contract.input_width = bundle->contract.input_height = SIDE;
    bundle->backend = &RUNS;
    bundle->session = own;
    bundle->clock_ns = no_time;
    bundle->probabilities = take(own, classes * sizeof *bundle->probabilities);
    bundle->non_gradeable_labels = take(own, classes);
    bundle->non_gradeable_labels[next(from) % classes] = (flags & 2) != 0;
    bundle->frame = take(own, PIXELS);
    bundle->pixels = (flags & 1) != 0 ? take(own, PIXELS) : NULL;
    bundle->front_end = weckd_front_end_init(&spec, take(own, weckd_front_end_bytes(&spec)));
    bundle->exam = weckd_exam_init(take(own, weckd_exam_bytes(classes)), &rule, classes);
    atomic_flag_clear(&bundle->busy);
    if ((flags & 4) != 0) {
        bundle->guard = take(own, sizeof *bundle->guard);
        read_guard(bundle->guard, from);
    }
}

static void check(bool holds) {
    if (!holds) {
        abort();
    }
}

/* The sums are those of the frames that are kept, each in a row of its own. */
static void check_kept(const weckd_tally *tally) {
    for (uint32_t k = 0; tally->rule->top_k != 0 && k < tally->classes; k++) {
        int64_t sum = 0, weight = 0;
        for (uint32_t i = 0; i < tally->kept; i++) {
            const weckd_tally_frame *frame = &tally->best[i];
            check(frame->row != tally->free_row && (i == 0 || tally->best[i - 1].rank >= frame->rank));
            sum += (int64_t)frame->weight * tally->evidence[(size_t)frame->row * tally->classes + k];
            weight += frame->weight;
        }
        check(sum == tally->sums[k] && weight == tally->weight && tally->kept <= tally->rule->top_k);
    }
}

static void decide(const opened *own, bool was_enough, int32_t before) {
    weckd_exam_decision found;
    double probabilities[MAX_LABELS], total = 0.0;
    uint32_t classes = own->bundle->contract.classes;
    const weckd_exam_rule *rule = &own->bundle->exam->rule;
    check(weckd_exam_decide(own->bundle, &found, probabilities, classes) == WECKD_OK);
    for (uint32_t i = 0; i < classes; i++) {
        check(probabilities[i] >= 0.0 && probabilities[i] <= 1.0);
        total += probabilities[i];
    }
    check(found.prediction < (int32_t)classes && found.counted <= rule->max_frames);
    check(found.prediction < 0 ? total == 0.0 : fabs(total - 1.0) < 1e-9 && found.probability == probabilities[found.prediction]);
    check(found.seen == found.counted + found.repeated + found.refused);
    check((found.decision == WECKD_ABSTAIN) == (found.reason != WECKD_REASON_NONE));
    check(found.decision == WECKD_ABSTAIN || (found.counted >= rule->min_frames && found.probability >= rule->confidence_threshold));
    check(!was_enough || (found.has_seen_enough && found.decision == before));
    check_kept(&own->bundle->exam->tally);
}

static int32_t decision_of(const opened *own) {
    weckd_exam_decision found;
    check(weckd_exam_decide(own->bundle, &found, NULL, 0) == WECKD_OK);
    return found.decision;
}

static void add(const opened *own, reader *from, bool is_running) {
    weckd_exam_frame added;
    float probabilities[MAX_LABELS];
    uint8_t *pixels = malloc(PIXELS), how = next(from);
    check(pixels != NULL);
    memset(pixels, next(from), PIXELS);
    pixels[next(from) % PIXELS] = next(from);
    weckd_frame frame = {.pixels = (how & 1) != 0 ? own->bundle->frame : pixels, .width = SIDE, .height = SIDE,
                         .format = (how & 2) != 0 ? WECKD_BGR : WECKD_RGB, .flags = (how & 12) == 12 ? WECKD_IGNORE_GUARD : 0};
    bool was_enough = own->bundle->exam->tally.is_complete;
    int32_t before = is_running ? decision_of(own) : 0;
    int status = weckd_exam_add(own->bundle, &frame, &added, probabilities, own->bundle->contract.classes);
    check(is_running || status == WECKD_ERR_ORDER);
    check(status == WECKD_OK || status == WECKD_ERR_ORDER || status == WECKD_ERR_RUN || status == WECKD_ERR_ARGUMENT);
    check(status != WECKD_OK || (added.use == WECKD_REFUSED) == (added.reason != WECKD_REASON_NONE));
    check(status != WECKD_OK || (added.use == WECKD_NOT_NEEDED) == was_enough);
    if (is_running) {
        decide(own, was_enough, before);
    }
    free(pixels);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    reader from = {.data = data, .size = size};
    opened own = {0};
    open_bundle(&own, &from);
    bool is_running = false;
    while (from.at < from.size) {
        switch (next(&from) % 8) {
        case 0:
            check(weckd_exam_begin(own.bundle) == (is_running ? WECKD_ERR_ORDER : WECKD_OK));
            is_running = true;
            break;
        case 1:
            check(weckd_exam_reset(own.bundle) == WECKD_OK);
            is_running = false;
            break;
        case 2: {
            weckd_exam_decision found;
            check(weckd_exam_decide(own.bundle, &found, NULL, 0) == (is_running ? WECKD_OK : WECKD_ERR_ORDER));
            break;
        }
        default: add(&own, &from, is_running);
        }
    }
    while (own.count > 0) {
        free(own.parts[--own.count]);
    }
    return 0;
}
