/* Checks the parts that need no bundle: memory, geometry, colours, base64, JSON. Prints one line a check that fails; 0: none did.
 * SPDX-License-Identifier: Apache-2.0 */
#include "bundle/manifest.h"
#include "core/digest.h"
#include "formats/base64.h"
#include "formats/json.h"
#include "guard/guard_file.h"
#include "image/area.h"
#include "runtime/opened_bundle.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures, checks;

static void check(bool holds, const char *what, int line) {
    checks++;
    if (!holds) {
        failures++;
        printf("line %d: %s\n", line, what);
    }
}
#define CHECK(what) check((what), #what, __LINE__)

static void memory(void) {
    weckd_sizes sizes = {.frame_width = 640, .frame_height = 480, .input_width = 96, .input_height = 96, .classes = 3,
                         .model_bytes = 1000};
    size_t plain = weckd_memory_bytes(&sizes);
    CHECK(plain > 640 * 480 * 3 + 1000 && plain < 640 * 480 * 3 + 131072);
    sizes.max_source_width = 1920;
    CHECK(weckd_memory_bytes(&sizes) == 0); /* one side without the other */
    sizes.max_source_height = 1080;
    CHECK(weckd_memory_bytes(&sizes) > plain + 3 * 1920 * 3);
    sizes.classes = WECKD_MAX_CLASSES + 1;
    CHECK(weckd_memory_bytes(&sizes) == 0);
    sizes.classes = 1;
    sizes.input_height = 0;
    CHECK(weckd_memory_bytes(&sizes) == 0);
    sizes.input_height = 96;
    sizes.frame_width = WECKD_MAX_SIDE + 1;
    CHECK(weckd_memory_bytes(&sizes) == 0);
    sizes.frame_width = 0;
    CHECK(weckd_memory_bytes(&sizes) == 0);
    CHECK(weckd_memory_bytes(NULL) == 0);
}

/* A number from 0 to below `limit`, the same in every run. */
static uint32_t drawn(uint32_t limit) {
    static uint32_t state = 1;
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % limit;
}

/* A picture of at most 80 x 80 pixels, resized to at most 70 x 70. */
typedef struct small_resize {
    uint8_t pixels[80 * 250], out[70 * 70 * 3];
    weckd_area_span spans[2][70];
    int16_t weights[2][70 * 84];
    uint16_t sums[80 * 3 + WECKD_AREA_SLACK];
    weckd_area_axis axes[2];
} small_resize;

static void resize_by(weckd_instructions code, small_resize *job, size_t stride, uint32_t width) {
    const weckd_area_axis *down = &job->axes[0];
    const uint8_t *rows[84];
    memset(job->out, 0, sizeof job->out);
    for (uint32_t y = 0; y < down->length; y++) {
        for (uint32_t k = 0; k < down->spans[y].count; k++) {
            rows[k] = job->pixels + (down->spans[y].first + k) * stride;
        }
        weckd_area_rows(code, rows, down->weights + (size_t)y * down->taps, down->spans[y].count, width * (size_t)3, job->sums);
        weckd_area_columns(code, job->sums, &job->axes[1], job->out + (size_t)y * job->axes[1].length * 3);
    }
}

static void all_instructions_give_the_same_bytes(void) {
    static small_resize job;
    static uint8_t expected[sizeof job.out];
    for (size_t i = 0; i < sizeof job.pixels; i++) {
        job.pixels[i] = (uint8_t)(drawn(3) == 0 ? 255 : drawn(256));
    }
    for (int round = 0; round < 300; round++) {
        uint32_t height = 1 + drawn(80), width = 1 + drawn(80), new_height = 1 + drawn(70), new_width = 1 + drawn(70);
        size_t stride = width * 3 + drawn(4);
        for (int axis = 0; axis < 2; axis++) {
            job.axes[axis] = (weckd_area_axis){.spans = job.spans[axis], .weights = job.weights[axis]};
        }
        CHECK(weckd_area_plan(height, new_height, 0, new_height, &job.axes[0]));
        CHECK(weckd_area_plan(width, new_width, 0, new_width, &job.axes[1]));
        resize_by(WECKD_PLAIN, &job, stride, width);
        memcpy(expected, job.out, sizeof expected);
        for (int code = WECKD_SSE2; code <= WECKD_NEON; code++) {
            if (weckd_has_instructions((weckd_instructions)code)) {
                resize_by((weckd_instructions)code, &job, stride, width);
                CHECK(memcmp(job.out, expected, sizeof expected) == 0);
            }
        }
    }
    CHECK(weckd_has_instructions(weckd_best_instructions()));
}

static void area_weights(void) {
    /* Sevenths of 128, summed up and rounded. */
    static const int16_t SEVEN_TO_THREE[3][4] = {{55, 55, 18, 0}, {37, 54, 37, 0}, {18, 55, 55, 0}};
    weckd_area_span spans[3];
    int16_t weights[3 * 132];
    weckd_area_axis axis = {.spans = spans, .weights = weights};
    CHECK(weckd_area_plan(7, 3, 0, 3, &axis) && axis.taps == 4);
    CHECK(memcmp(axis.weights, SEVEN_TO_THREE, sizeof SEVEN_TO_THREE) == 0);
    CHECK(spans[0].first == 0 && spans[1].first == 2 && spans[2].first == 4 && spans[0].count == 3);
    CHECK(weckd_area_plan(7, 3, 2, 1, &axis) && axis.length == 1 && spans[0].first == 4 && weights[0] == 18);
    CHECK(weckd_area_plan(130, 1, 0, 1, &axis) && spans[0].count == 130); /* more old pixels than there are 128ths */
    CHECK(weckd_area_plan(400, 399, 0, 1, &axis) && spans[0].count == 1 && weights[0] == WECKD_AREA_TOTAL && weights[1] == 0);
    CHECK(weckd_area_plan(400, 399, 398, 1, &axis) && spans[0].first == 399 && weights[0] == WECKD_AREA_TOTAL);
    CHECK(!weckd_area_plan(0, 3, 0, 3, &axis) && !weckd_area_plan(3, 0, 0, 0, &axis) && !weckd_area_plan(3, 3, 1, 3, &axis));
}

static int region_of(const weckd_frame *frame, weckd_region *region) {
    return weckd_frame_region(frame, region, (weckd_error){NULL});
}

static void geometry(void) {
    static uint8_t pixels[4096];
    weckd_region region;
    weckd_frame good = {.pixels = pixels, .width = 8, .height = 6};
    CHECK(region_of(&good, &region) == WECKD_OK && region.stride == 24 && region.width == 8 && region.height == 6);
    weckd_frame frame = good;
    frame.stride_bytes = 23;
    CHECK(region_of(&frame, &region) == WECKD_ERR_GEOMETRY);
    frame = good;
    frame.roi_x = 1;
    CHECK(region_of(&frame, &region) == WECKD_ERR_GEOMETRY);
    frame.roi_width = 8;
    CHECK(region_of(&frame, &region) == WECKD_ERR_GEOMETRY); /* a width without a height */
    frame.roi_height = 6;
    CHECK(region_of(&frame, &region) == WECKD_ERR_GEOMETRY); /* leaves the frame */
    frame.roi_width = 7;
    CHECK(region_of(&frame, &region) == WECKD_OK && region.pixels == pixels + 3);
    frame.roi_x = UINT32_MAX;
    CHECK(region_of(&frame, &region) == WECKD_ERR_GEOMETRY);
    frame = good;
    frame.width = UINT32_MAX;
    CHECK(region_of(&frame, &region) == WECKD_ERR_GEOMETRY);
    frame = good;
    frame.height = 0;
    CHECK(region_of(&frame, &region) == WECKD_ERR_GEOMETRY);
    frame = good;
    frame.format = (weckd_format)5;
    CHECK(region_of(&frame, &region) == WECKD_ERR_ARGUMENT);
    frame = good;
    frame.reserved[2] = 1;
    CHECK(region_of(&frame, &region) == WECKD_ERR_ARGUMENT);
    frame = good;
    frame.format = WECKD_NV12;
    CHECK(region_of(&frame, &region) == WECKD_OK && region.chroma == pixels + 48);
    frame.roi_x = 2;
    frame.roi_y = 2;
    frame.roi_width = 4;
    frame.roi_height = 2;
    CHECK(region_of(&frame, &region) == WECKD_OK && region.pixels == pixels + 18 && region.chroma == pixels + 48 + 8 + 2);
    frame.roi_x = 1;
    CHECK(region_of(&frame, &region) == WECKD_ERR_GEOMETRY);
    frame = good;
    frame.format = WECKD_YUYV;
    CHECK(region_of(&frame, &region) == WECKD_OK && weckd_region_row_bytes(&region) == 16);
    frame.roi_x = 2;
    frame.roi_y = 1;
    frame.roi_width = 4;
    frame.roi_height = 1;
    CHECK(region_of(&frame, &region) == WECKD_OK && region.pixels == pixels + region.stride + 4);
    frame.roi_width = 3;
    CHECK(region_of(&frame, &region) == WECKD_ERR_GEOMETRY);
}

static void all_instructions_make_the_same_colours(void) {
    static uint8_t pixels[2 * 200 * 2], expected[200 * 3], rgb[200 * 3 + 1];
    for (size_t i = 0; i < sizeof pixels; i++) {
        pixels[i] = (uint8_t)(drawn(4) == 0 ? 255 * drawn(2) : drawn(256));
    }
    for (int round = 0; round < 600; round++) {
        static const weckd_format FORMATS[3] = {WECKD_GREY, WECKD_NV12, WECKD_YUYV};
        weckd_frame frame = {.pixels = pixels, .width = 2 + 2 * drawn(99), .height = 2, .format = FORMATS[drawn(3)],
                             .matrix = (weckd_matrix)drawn(4)};
        weckd_region region;
        CHECK(region_of(&frame, &region) == WECKD_OK);
        uint32_t left = drawn(frame.width), width = 1 + drawn(frame.width - left), y = drawn(2);
        weckd_region_row(WECKD_PLAIN, &region, y, left, width, expected);
        for (int code = WECKD_SSE2; code <= WECKD_NEON; code++) {
            if (weckd_has_instructions((weckd_instructions)code)) {
                memset(rgb, 0, sizeof rgb);
                rgb[width * 3] = 77;
                weckd_region_row((weckd_instructions)code, &region, y, left, width, rgb);
                CHECK(memcmp(rgb, expected, (size_t)width * 3) == 0 && rgb[width * 3] == 77);
            }
        }
    }
}

/* Every luma and chroma against the textbook's sums in double. */
static void colours(void) {
    static const double reds[4] = {1.402, 1.402, 1.5748, 1.5748}, blues[4] = {1.772, 1.772, 1.8556, 1.8556};
    static const double kr[4] = {0.299, 0.299, 0.2126, 0.2126}, kb[4] = {0.114, 0.114, 0.0722, 0.0722};
    double worst = 0.0;
    for (int m = 0; m < 4; m++) {
        bool limited = m == WECKD_BT601_LIMITED || m == WECKD_BT709_LIMITED;
        for (int y = 0; y < 256; y += 5) {
            for (int u = 0; u < 256; u += 5) {
                for (int v = 0; v < 256; v += 5) {
                    uint8_t pixels[6] = {(uint8_t)y, (uint8_t)y, (uint8_t)y, (uint8_t)y, (uint8_t)u, (uint8_t)v}, rgb[6];
                    weckd_frame frame = {.pixels = pixels, .width = 2, .height = 2, .format = WECKD_NV12,
                                         .matrix = (weckd_matrix)m};
                    weckd_region region;
                    if (region_of(&frame, &region) != WECKD_OK) {
                        CHECK(false);
                        return;
                    }
                    weckd_region_row(weckd_best_instructions(), &region, 1, 0, 2, rgb);
                    double light = limited ? (y - 16) * 255.0 / 219.0 : y;
                    double cb = (u - 128) * (limited ? 255.0 / 224.0 : 1.0), cr = (v - 128) * (limited ? 255.0 / 224.0 : 1.0);
                    double kg = 1.0 - kr[m] - kb[m];
                    double exact[3] = {light + reds[m] * cr,
                                       light - blues[m] * kb[m] / kg * cb - reds[m] * kr[m] / kg * cr,
                                       light + blues[m] * cb};
                    for (int c = 0; c < 3; c++) {
                        double clipped = exact[c] < 0 ? 0 : exact[c] > 255 ? 255 : exact[c];
                        worst = fmax(worst, fabs(rgb[3 + c] - clipped));
                    }
                }
            }
        }
    }
    CHECK(worst < 0.51); /* rounding to nearest, and a hundredth for the fixed point */
}

static void rows(void) {
    uint8_t bgr[6] = {1, 2, 3, 4, 5, 6}, grey[2] = {7, 9}, rgb[6];
    weckd_region region;
    weckd_frame frame = {.pixels = bgr, .width = 2, .height = 1, .format = WECKD_BGR};
    CHECK(region_of(&frame, &region) == WECKD_OK);
    weckd_region_row(weckd_best_instructions(), &region, 0, 0, region.width, rgb);
    CHECK(memcmp(rgb, (uint8_t[]){3, 2, 1, 6, 5, 4}, 6) == 0);
    frame.pixels = grey;
    frame.format = WECKD_GREY;
    CHECK(region_of(&frame, &region) == WECKD_OK);
    weckd_region_row(weckd_best_instructions(), &region, 0, 0, region.width, rgb);
    CHECK(memcmp(rgb, (uint8_t[]){7, 7, 7, 9, 9, 9}, 6) == 0);
}

static bool decodes(const char *text) {
    uint8_t out[64];
    size_t bytes = 0;
    return weckd_base64_read(text, strlen(text), out, &bytes);
}

static void base64(void) {
    uint8_t out[8];
    size_t bytes = 0;
    CHECK(weckd_base64_read("aGk=", 4, out, &bytes) && bytes == 2 && memcmp(out, "hi", 2) == 0);
    CHECK(decodes("aGlo") && decodes("aA=="));
    CHECK(!decodes("aGl=") && !decodes("aB==")); /* stray bits */
    CHECK(!decodes("") && !decodes("aGk") && !decodes("a===") && !decodes("aG=k") && !decodes("aG k") && !decodes("aGk=aGk="));
}

static int status_of(const char *text) {
    json_t *root = NULL;
    int status = weckd_json_read(text, strlen(text), "text", &root, (weckd_error){NULL});
    CHECK((status == WECKD_OK) == (root != NULL));
    json_decref(root);
    return status;
}

static bool parses(const char *text) { return status_of(text) == WECKD_OK; }

static int allocations_left;

static void *allocate_some(size_t bytes) { return allocations_left-- > 0 ? malloc(bytes) : NULL; }

/* While a text is read in a machine that has memory for the first few allocations alone, no text is damaged. */
static void json_without_memory(void) {
    json_set_alloc_funcs(allocate_some, free);
    for (int some = 0; some < 10; some++) {
        allocations_left = some;
        int status = status_of("[[[[[[[[1, 2.5, true, [null]]]]]]]]]");
        CHECK(status == (allocations_left < 0 ? WECKD_ERR_MEMORY : WECKD_ERR_FORMAT));
    }
    allocations_left = 0;
    CHECK(status_of("{}") == WECKD_ERR_MEMORY);
    weckd_manifest manifest;
    weckd_guard guard;
    allocations_left = 0;
    CHECK(weckd_manifest_read("{}", 2, &manifest, (weckd_error){NULL}) == WECKD_ERR_MEMORY);
    allocations_left = 0;
    CHECK(weckd_guard_parse("{}", 2, &guard, (weckd_error){NULL}) == WECKD_ERR_MEMORY);
    json_set_alloc_funcs(malloc, free);
}

static void json(void) {
    char deep[256] = "{\"a\":";
    size_t at = strlen(deep);
    memset(deep + at, '[', 100);
    memset(deep + at + 100, ']', 100);
    deep[at + 200] = '}';
    deep[at + 201] = '\0';
    CHECK(parses("{\"a\": [1, 2.5, true, null, \"[[[[\"]}"));
    CHECK(status_of(deep) == WECKD_ERR_FORMAT && status_of("{") == WECKD_ERR_FORMAT);
    CHECK(!parses("{\"a\": 1, \"a\": 2}") && !parses("[1]") && !parses("{\"a\": NaN}") && !parses("{} x") && !parses(""));
    CHECK(!parses("{\"a\": \"\xff\"}") && !parses("{\"a\": \"\\u0000\"}"));
}

static void *leave_and_enter(void *bundle) { return weckd_enter(bundle) ? bundle : NULL; }

static void threads(void) {
    weckd_bundle *bundle = calloc(1, sizeof *bundle);
    pthread_t other;
    void *got = NULL;
    if (bundle == NULL) {
        CHECK(false);
        return;
    }
    atomic_flag_clear(&bundle->busy);
    CHECK(weckd_enter(bundle));
    CHECK(pthread_create(&other, NULL, leave_and_enter, bundle) == 0 && pthread_join(other, &got) == 0 && got == NULL);
    weckd_leave(bundle);
    CHECK(weckd_enter(bundle));
    free(bundle);
}

/* Add data in pieces of drawn sizes, some of them empty. */
static void sum_in_pieces(bool by_instructions, const uint8_t *data, size_t bytes, uint8_t digest[WECKD_SHA256_BYTES]) {
    weckd_hash hash;
    weckd_hash_start_by(&hash, by_instructions);
    weckd_hash_add(&hash, NULL, 0);
    while (bytes > 0) {
        size_t piece = drawn(3) == 0 ? drawn(8) : drawn(300);
        piece = piece < bytes ? piece : bytes;
        weckd_hash_add(&hash, data, piece);
        data += piece;
        bytes -= piece;
    }
    weckd_hash_end(&hash, digest);
}

static void digests(void) {
    /* Of NIST's examples for FIPS 180-4: nothing, "abc", two blocks. */
    static const char *const TEXTS[] = {"", "abc", "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"};
    static const char *const SUMS[] = {"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                                       "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                                       "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"};
    static uint8_t data[1000];
    uint8_t expected[WECKD_SHA256_BYTES], found[WECKD_SHA256_BYTES];
    for (int way = 0; way <= (weckd_sha256_has_instructions() ? 1 : 0); way++) {
        for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++) {
            CHECK(weckd_hex_read(SUMS[i], strlen(SUMS[i]), expected));
            sum_in_pieces(way == 1, (const uint8_t *)TEXTS[i], strlen(TEXTS[i]), found);
            CHECK(memcmp(found, expected, sizeof found) == 0);
        }
    }
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)drawn(256);
    }
    for (size_t bytes = 0; weckd_sha256_has_instructions() && bytes <= sizeof data; bytes++) {
        sum_in_pieces(false, data, bytes, expected);
        sum_in_pieces(true, data, bytes, found);
        CHECK(memcmp(found, expected, sizeof found) == 0);
    }
}

int main(void) {
    digests();
    memory();
    area_weights();
    all_instructions_give_the_same_bytes();
    all_instructions_make_the_same_colours();
    geometry();
    colours();
    rows();
    base64();
    json();
    json_without_memory();
    threads();
    CHECK(weckd_classify(NULL, NULL, NULL, NULL, 0) == WECKD_ERR_ARGUMENT && weckd_selftest(NULL, NULL) == WECKD_ERR_ARGUMENT);
    CHECK(weckd_exam_begin(NULL) == WECKD_ERR_ARGUMENT && weckd_exam_reset(NULL) == WECKD_ERR_ARGUMENT);
    CHECK(weckd_exam_add(NULL, NULL, NULL, NULL, 0) == WECKD_ERR_ARGUMENT && weckd_exam_decide(NULL, NULL, NULL, 0) == WECKD_ERR_ARGUMENT);
    weckd_close(NULL);
    for (int reason = 0; reason < WECKD_REASONS; reason++) {
        CHECK(strcmp(weckd_reason_text((weckd_reason)reason), "unknown reason") != 0);
    }
    CHECK(strcmp(weckd_reason_text((weckd_reason)WECKD_REASONS), "unknown reason") == 0);
    for (int status = WECKD_ERR_ORDER; status <= 0; status++) {
        CHECK(strcmp(weckd_status_text(status), "unknown status") != 0);
    }
    printf("%d checks, %d failed\n", checks, failures);
    return failures == 0 ? 0 : 1;
}
