/* SPDX-License-Identifier: Apache-2.0 */
#include "image/front_end.h"

#include <string.h>

#define ALIGN 64
#define NEIGHBOURS 3 /* rows of the frame that the guard looks at together */

/* Rows of a picture, 3 bytes a pixel: in place, or made one after the other and kept in a ring. */
typedef struct row_window {
    const uint8_t *place; /* first row in place; NULL: they are made */
    size_t stride;
    uint8_t *ring;
    uint32_t slots, next; /* rows that the ring keeps; the first row that was not made yet */
} row_window;

struct weckd_front_end {
    weckd_front_end_spec spec;
    weckd_instructions instructions;
    weckd_area_axis fit[2], resize[2]; /* rows and columns: from the box to the frame's crop, and from there to the network */
    uint32_t box_width, box_height;    /* box that `fit` was planned for; 0: none yet */
    uint32_t source_left, source_width; /* columns of the box that count for the crop */
    const weckd_region *region;
    uint32_t region_left, region_top;  /* of the part of the region that is read */
    bool fits;
    row_window source, frame;                /* parts of the region, and of the frame: its crop */
    size_t source_bytes;               /* room of the source's ring */
    const uint8_t **source_rows, **frame_rows; /* those that become one new row */
    uint16_t *sums;
};

/* Distances of the parts from the start, bytes. */
typedef struct parts {
    size_t spans[4], weights[4], source_rows, frame_rows, sums, source, source_bytes, frame, bytes;
    uint32_t frame_slots;
} parts;

static size_t reserve(size_t *at, uint64_t bytes) {
    size_t here = *at;
    *at += (size_t)((bytes + ALIGN - 1) / ALIGN * ALIGN);
    return here;
}

static uint64_t larger(uint64_t one, uint64_t other) { return one > other ? one : other; }

static bool is_side(uint32_t pixels) { return pixels >= 1 && pixels <= WECKD_MAX_SIDE; }

static bool is_whole(const weckd_front_end_spec *spec) {
    bool resizes = spec->network_width != 0 || spec->network_height != 0;
    bool fits = spec->max_source_width != 0 || spec->max_source_height != 0;
    return is_side(spec->frame_width) && is_side(spec->frame_height) && is_side(spec->width) && is_side(spec->height) &&
           (uint64_t)spec->left + spec->width <= spec->frame_width && (uint64_t)spec->top + spec->height <= spec->frame_height &&
           (!resizes || (is_side(spec->network_width) && is_side(spec->network_height))) &&
           (!fits || (is_side(spec->max_source_width) && is_side(spec->max_source_height)));
}

static void reserve_axis(parts *layout, size_t *at, int axis, uint32_t length, uint32_t taps) {
    layout->spans[axis] = reserve(at, (uint64_t)length * sizeof(weckd_area_span));
    layout->weights[axis] = reserve(at, (uint64_t)length * taps * sizeof(int16_t));
}

static parts layout_of(const weckd_front_end_spec *spec) {
    parts layout = {0};
    size_t at = 0;
    (void)reserve(&at, sizeof(weckd_front_end));
    uint32_t fit_taps = weckd_area_taps(spec->max_source_height, spec->frame_height);
    uint32_t resize_taps = spec->network_height == 0 ? 1 : weckd_area_taps(spec->height, spec->network_height);
    uint64_t row = (uint64_t)spec->width * 3, source_row = (uint64_t)spec->max_source_width * 3;
    if (spec->max_source_width != 0) {
        reserve_axis(&layout, &at, 0, spec->height, fit_taps);
        reserve_axis(&layout, &at, 1, spec->width, weckd_area_taps(spec->max_source_width, spec->frame_width));
    }
    if (spec->network_width != 0) {
        reserve_axis(&layout, &at, 2, spec->network_height, resize_taps);
        reserve_axis(&layout, &at, 3, spec->network_width, weckd_area_taps(spec->width, spec->network_width));
    }
    layout.frame_slots = resize_taps > NEIGHBOURS ? resize_taps : NEIGHBOURS;
    layout.source_bytes = (size_t)larger(fit_taps * source_row, layout.frame_slots * row);
    layout.source_rows = reserve(&at, fit_taps * sizeof(const uint8_t *));
    layout.frame_rows = reserve(&at, resize_taps * sizeof(const uint8_t *));
    layout.sums = reserve(&at, (larger(source_row, row) + WECKD_AREA_SLACK) * sizeof(uint16_t));
    layout.source = reserve(&at, layout.source_bytes);
    layout.frame = reserve(&at, layout.frame_slots * row);
    layout.bytes = at;
    return layout;
}

size_t weckd_front_end_bytes(const weckd_front_end_spec *spec) { return is_whole(spec) ? layout_of(spec).bytes : 0; }

weckd_front_end *weckd_front_end_init(const weckd_front_end_spec *spec, void *memory) {
    uint8_t *block = memory;
    parts layout = layout_of(spec);
    memset(block, 0, layout.bytes);
    weckd_front_end *front_end = memory;
    front_end->spec = *spec;
    front_end->instructions = weckd_best_instructions();
    for (int axis = 0; axis < 4; axis++) {
        weckd_area_axis *to = axis < 2 ? &front_end->fit[axis] : &front_end->resize[axis - 2];
        to->spans = (weckd_area_span *)(void *)(block + layout.spans[axis]);
        to->weights = (int16_t *)(void *)(block + layout.weights[axis]);
    }
    front_end->source_rows = (const uint8_t **)(void *)(block + layout.source_rows);
    front_end->frame_rows = (const uint8_t **)(void *)(block + layout.frame_rows);
    front_end->sums = (uint16_t *)(void *)(block + layout.sums);
    front_end->source.ring = block + layout.source;
    front_end->source_bytes = layout.source_bytes;
    front_end->frame.ring = block + layout.frame;
    front_end->frame.slots = layout.frame_slots;
    front_end->frame.stride = (size_t)spec->width * 3;
    if (spec->network_width != 0) {
        (void)weckd_area_plan(spec->height, spec->network_height, 0, spec->network_height, &front_end->resize[0]);
        (void)weckd_area_plan(spec->width, spec->network_width, 0, spec->network_width, &front_end->resize[1]);
    }
    return front_end;
}

bool weckd_front_end_fits(const weckd_front_end *front_end, const weckd_region *region) {
    return region->width == front_end->spec.frame_width && region->height == front_end->spec.frame_height;
}

bool weckd_front_end_takes(const weckd_front_end *front_end, const weckd_region *region) {
    return weckd_front_end_fits(front_end, region) || (region->width <= front_end->spec.max_source_width &&
                                                       region->height <= front_end->spec.max_source_height);
}

/* Return how long one side of the box is, for `side` and `other` of the region and of the frame. */
static uint32_t box_side(uint32_t side, uint32_t other, uint32_t frame_side, uint32_t frame_other) {
    uint64_t length = (2 * (uint64_t)frame_side * other + frame_other) / (2 * (uint64_t)frame_other);
    return length < 1 ? 1 : length < side ? (uint32_t)length : side;
}

/* Plan the fit of a box, unless the last one had its size. */
static void plan_fit(weckd_front_end *front_end, uint32_t width, uint32_t height) {
    const weckd_front_end_spec *spec = &front_end->spec;
    if (front_end->box_width == width && front_end->box_height == height) {
        return;
    }
    weckd_area_axis *across = &front_end->fit[1];
    (void)weckd_area_plan(height, spec->frame_height, spec->top, spec->height, &front_end->fit[0]);
    (void)weckd_area_plan(width, spec->frame_width, spec->left, spec->width, across);
    uint32_t left = across->spans[0].first;
    for (uint32_t x = 0; x < across->length; x++) {
        across->spans[x].first -= left;
    }
    front_end->source_left = left;
    front_end->source_width = across->spans[across->length - 1].first + across->spans[across->length - 1].count;
    front_end->box_width = width;
    front_end->box_height = height;
}

/* Begin with a region: find the part of it that is read, and how its rows become the frame's. */
static void begin(weckd_front_end *front_end, const weckd_region *region) {
    const weckd_front_end_spec *spec = &front_end->spec;
    uint32_t width = spec->width, slots = front_end->frame.slots;
    front_end->region = region;
    front_end->region_left = spec->left;
    front_end->region_top = spec->top;
    front_end->fits = weckd_front_end_fits(front_end, region);
    if (!front_end->fits) {
        uint32_t wide = box_side(region->width, region->height, spec->frame_width, spec->frame_height);
        uint32_t high = box_side(region->height, region->width, spec->frame_height, spec->frame_width);
        plan_fit(front_end, wide, high);
        front_end->region_left = (region->width - wide) / 2 + front_end->source_left;
        front_end->region_top = (region->height - high) / 2;
        width = front_end->source_width;
        slots = front_end->fit[0].taps;
    }
    row_window *source = &front_end->source;
    bool in_place = region->format == WECKD_RGB || region->format == WECKD_BGR;
    source->place = in_place ? region->pixels + region->stride * front_end->region_top + (size_t)front_end->region_left * 3 : NULL;
    source->stride = in_place ? region->stride : (size_t)width * 3;
    source->slots = slots;
    source->next = front_end->fits ? 0 : front_end->fit[0].spans[0].first;
    front_end->frame.next = 0;
}

static uint8_t *slot_of(const row_window *window, uint32_t y) { return window->ring + window->stride * (y % window->slots); }

/* Return row `y` of the part of the region that is read. */
static const uint8_t *source_row(weckd_front_end *front_end, uint32_t y) {
    row_window *source = &front_end->source;
    if (source->place != NULL) {
        return source->place + source->stride * y;
    }
    for (; source->next <= y; source->next++) {
        weckd_region_row(front_end->instructions, front_end->region, front_end->region_top + source->next,
                         front_end->region_left, (uint32_t)(source->stride / 3), slot_of(source, source->next));
    }
    return slot_of(source, y);
}

/* Make row `y` of the frame's crop by area. */
static void fit_row(weckd_front_end *front_end, uint32_t y, uint8_t *row) {
    const weckd_area_axis *down = &front_end->fit[0];
    weckd_area_span span = down->spans[y];
    for (uint32_t k = 0; k < span.count; k++) {
        front_end->source_rows[k] = source_row(front_end, span.first + k);
    }
    weckd_area_rows(front_end->instructions, front_end->source_rows, down->weights + (size_t)y * down->taps, span.count,
                    (size_t)front_end->source_width * 3, front_end->sums);
    weckd_area_columns(front_end->instructions, front_end->sums, &front_end->fit[1], row);
}

/* Return row `y` of the frame's crop. */
static const uint8_t *frame_row(weckd_front_end *front_end, uint32_t y) {
    if (front_end->fits) {
        return source_row(front_end, y);
    }
    row_window *frame = &front_end->frame;
    for (; frame->next <= y; frame->next++) {
        fit_row(front_end, frame->next, slot_of(frame, frame->next));
    }
    return slot_of(frame, y);
}

static uint64_t now_ns(const weckd_stopwatch *stopwatch) {
    return stopwatch != NULL && stopwatch->now_ns != NULL ? stopwatch->now_ns(stopwatch->context) : 0;
}

/* Let the guard measure the rows of its grid, from its row `i` on, that end above row `y` of the crop; return the next one. */
static uint32_t measure_rows(weckd_front_end *front_end, weckd_guard_state *guard, uint32_t i, uint32_t y,
                             weckd_stopwatch *stopwatch) {
    for (; i < WECKD_GUARD_GRID && guard->rows[i] + 1 < y; i++) {
        uint32_t at = guard->rows[i];
        const uint8_t *rows[NEIGHBOURS] = {frame_row(front_end, at - 1), frame_row(front_end, at), frame_row(front_end, at + 1)};
        uint64_t start_ns = now_ns(stopwatch);
        weckd_guard_row(guard, i, rows[0], rows[1], rows[2], front_end->region->format == WECKD_BGR);
        if (stopwatch != NULL) {
            stopwatch->guard_ns += now_ns(stopwatch) - start_ns;
        }
    }
    return i;
}

void weckd_front_end_pixels(weckd_front_end *front_end, const weckd_region *region, weckd_guard_state *guard,
                            weckd_stopwatch *stopwatch, uint8_t *pixels) {
    const weckd_front_end_spec *spec = &front_end->spec;
    const weckd_area_axis *down = &front_end->resize[0];
    uint32_t measured = guard != NULL ? 0 : WECKD_GUARD_GRID;
    if (stopwatch != NULL) {
        stopwatch->guard_ns = 0;
    }
    begin(front_end, region);
    for (uint32_t y = 0; y < spec->network_height; y++, pixels += (size_t)spec->network_width * 3) {
        weckd_area_span span = down->spans[y];
        /* In the order of the last row that each needs, so that no row is left behind in the ring. */
        measured = measure_rows(front_end, guard, measured, span.first + span.count, stopwatch);
        for (uint32_t k = 0; k < span.count; k++) {
            front_end->frame_rows[k] = frame_row(front_end, span.first + k);
        }
        weckd_area_rows(front_end->instructions, front_end->frame_rows, down->weights + (size_t)y * down->taps, span.count,
                        (size_t)spec->width * 3, front_end->sums);
        weckd_area_columns(front_end->instructions, front_end->sums, &front_end->resize[1], pixels);
        if (region->format == WECKD_BGR) {
            weckd_exchange_red_and_blue(pixels, spec->network_width, pixels);
        }
    }
    (void)measure_rows(front_end, guard, measured, spec->height, stopwatch);
}

void weckd_front_end_crop(weckd_front_end *front_end, const weckd_region *region, uint8_t *crop) {
    uint32_t width = front_end->spec.width;
    begin(front_end, region);
    for (uint32_t y = 0; y < front_end->spec.height; y++, crop += (size_t)width * 3) {
        const uint8_t *row = frame_row(front_end, y);
        if (region->format == WECKD_BGR) {
            weckd_exchange_red_and_blue(row, width, crop);
        } else {
            memcpy(crop, row, (size_t)width * 3);
        }
    }
}
