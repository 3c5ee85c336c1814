/* SPDX-License-Identifier: Apache-2.0 */
#include "exam/tally.h"

#include <math.h>
#include <string.h>

#define ROWS (WECKD_EXAM_MAX_TOP_K + 1)

size_t weckd_tally_bytes(uint32_t classes) { return classes * (sizeof(int64_t) + sizeof(double) + ROWS * sizeof(int32_t)); }

void weckd_tally_init(weckd_tally *tally, const weckd_exam_rule *rule, uint32_t classes, void *memory) {
    memset(tally, 0, sizeof *tally);
    tally->rule = rule;
    tally->classes = classes;
    tally->sums = memory;
    tally->parts = (double *)(void *)(tally->sums + classes);
    tally->evidence = (int32_t *)(void *)(tally->parts + classes);
    weckd_tally_clear(tally);
}

void weckd_tally_clear(weckd_tally *tally) {
    tally->counted = tally->kept = tally->free_row = 0;
    tally->is_complete = false;
    tally->weight = 0;
    memset(tally->sums, 0, tally->classes * sizeof tally->sums[0]);
}

/* Return the logarithm of a probability in 65536ths, rounded half to even. */
static int32_t log_of(double probability) {
    if (probability <= 0.0) {
        return -WECKD_EXAM_LARGEST;
    }
    double value = nearbyint(log(probability) * WECKD_EXAM_ONE);
    return value < -WECKD_EXAM_LARGEST ? -WECKD_EXAM_LARGEST : value > 0.0 ? 0 : (int32_t)value;
}

static uint32_t bin_of(const weckd_exam_edges *edges, double value) {
    uint32_t bin = 0;
    while (bin < edges->count && edges->at[bin] <= value) {
        bin++;
    }
    return bin;
}

/* Write what one frame says of each label into a row, and return the frame. */
static weckd_tally_frame read_frame(weckd_tally *tally, const float *probabilities, double sharpness) {
    const weckd_exam_rule *rule = tally->rule;
    int32_t *evidence = tally->evidence + (size_t)tally->free_row * tally->classes;
    uint32_t voted = 0;
    for (uint32_t i = 0; i < tally->classes; i++) {
        voted = probabilities[i] > probabilities[voted] ? i : voted;
    }
    double most = (double)probabilities[voted];
    for (uint32_t i = 0; i < tally->classes; i++) {
        evidence[i] = !rule->votes ? log_of((double)probabilities[i]) : i == voted ? 0 : -WECKD_EXAM_ONE;
    }
    return (weckd_tally_frame){
        .rank = rule->ranks_by_confidence ? most : sharpness,
        .weight = rule->weights[bin_of(&rule->sharpness, sharpness)][bin_of(&rule->confidence, most)],
        .row = tally->free_row,
    };
}

static void sum(weckd_tally *tally, const weckd_tally_frame *frame, int64_t sign) {
    const int32_t *evidence = tally->evidence + (size_t)frame->row * tally->classes;
    tally->weight += sign * frame->weight;
    for (uint32_t i = 0; i < tally->classes; i++) {
        tally->sums[i] += sign * frame->weight * evidence[i];
    }
}

/* Keep a frame among the best ones, behind those that are as good; the worst of too many is taken out of the sums. */
static void keep(weckd_tally *tally, const weckd_tally_frame *frame) {
    uint32_t at = tally->kept;
    for (; at > 0 && tally->best[at - 1].rank < frame->rank; at--) {
        tally->best[at] = tally->best[at - 1];
    }
    tally->best[at] = *frame;
    tally->kept++;
    tally->free_row = tally->kept;
    if (tally->kept > tally->rule->top_k) {
        tally->kept--;
        sum(tally, &tally->best[tally->kept], -1);
        tally->free_row = tally->best[tally->kept].row;
    }
}

/* Judge the sums, of which one is `less` smaller, and their weight, which is `more` larger. */
static weckd_tally_finding judge(const weckd_tally *tally, int64_t more, int32_t lessened, int64_t less) {
    const weckd_exam_rule *rule = tally->rule;
    int64_t weight = tally->weight + more, top = INT64_MIN;
    weckd_tally_finding found = {.best = -1};
    if (weight == 0) {
        return found;
    }
    for (uint32_t i = 0; i < tally->classes; i++) {
        int64_t value = tally->sums[i] - ((int32_t)i == lessened ? less : 0);
        if (value > top) {
            top = value;
            found.best = (int32_t)i;
        }
    }
    double total = 0.0;
    for (uint32_t i = 0; i < tally->classes; i++) {
        int64_t value = tally->sums[i] - ((int32_t)i == lessened ? less : 0);
        tally->parts[i] = exp(rule->scale * ((double)(value - top) / (double)(weight * WECKD_EXAM_ONE)));
        total += tally->parts[i];
    }
    for (uint32_t i = 0; i < tally->classes; i++) {
        tally->parts[i] /= total;
    }
    found.probability = tally->parts[found.best];
    found.is_decided = tally->counted >= rule->min_frames && found.probability >= rule->confidence_threshold;
    return found;
}

/* Tell whether the decision stays even where every later frame speaks against it as much as one can. */
static bool is_settled(const weckd_tally *tally, int32_t best) {
    const weckd_exam_rule *rule = tally->rule;
    int64_t left = (int64_t)(rule->max_frames - tally->counted) * rule->heaviest;
    int64_t largest = rule->votes ? WECKD_EXAM_ONE : WECKD_EXAM_LARGEST;
    weckd_tally_finding found = judge(tally, left, best, left * largest);
    return found.best == best && found.is_decided;
}

static bool has_seen_enough(const weckd_tally *tally) {
    const weckd_exam_rule *rule = tally->rule;
    if (tally->counted >= rule->max_frames) {
        return true;
    }
    weckd_tally_finding found = judge(tally, 0, -1, 0);
    if (found.best < 0 || !found.is_decided) {
        return false;
    }
    int64_t other = -((int64_t)1 << 62); /* a label that has no other leads by any */
    for (uint32_t i = 0; i < tally->classes; i++) {
        other = (int32_t)i != found.best && tally->sums[i] > other ? tally->sums[i] : other;
    }
    if (rule->has_lead && tally->sums[found.best] - other >= rule->stop_lead) {
        return true;
    }
    return rule->top_k == 0 && is_settled(tally, found.best);
}

void weckd_tally_add(weckd_tally *tally, const float *probabilities, double sharpness) {
    if (tally->is_complete) {
        return;
    }
    tally->counted++;
    weckd_tally_frame frame = read_frame(tally, probabilities, sharpness);
    sum(tally, &frame, 1);
    if (tally->rule->top_k != 0) {
        keep(tally, &frame);
    }
    tally->is_complete = has_seen_enough(tally);
}

weckd_tally_finding weckd_tally_find(const weckd_tally *tally, double *probabilities) {
    weckd_tally_finding found = judge(tally, 0, -1, 0);
    for (uint32_t i = 0; probabilities != NULL && i < tally->classes; i++) {
        probabilities[i] = found.best < 0 ? 0.0 : tally->parts[i];
    }
    return found;
}
