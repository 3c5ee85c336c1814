/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/onnx.h"

#include "core/bounds.h"

#include <stdbool.h>

/* Messages of onnx.proto on a way to a tensor; OTHER: no tensor is in it. */
typedef enum message { OTHER, MODEL, GRAPH, NODE, ATTRIBUTE, TENSOR, SPARSE, FUNCTION, TRAINING } message;

/* Fields of a message that are messages on such a way. */
static const struct inner {
    uint8_t of, field, is;
} INNER[] = {
    {MODEL, 7, GRAPH},       {MODEL, 20, TRAINING},  {MODEL, 25, FUNCTION},     {GRAPH, 1, NODE},
    {GRAPH, 5, TENSOR},      {GRAPH, 15, SPARSE},    {NODE, 5, ATTRIBUTE},      {ATTRIBUTE, 5, TENSOR},
    {ATTRIBUTE, 6, GRAPH},   {ATTRIBUTE, 10, TENSOR}, {ATTRIBUTE, 11, GRAPH},   {ATTRIBUTE, 22, SPARSE},
    {ATTRIBUTE, 23, SPARSE}, {SPARSE, 1, TENSOR},    {SPARSE, 2, TENSOR},       {FUNCTION, 7, NODE},
    {FUNCTION, 11, ATTRIBUTE}, {TRAINING, 1, GRAPH}, {TRAINING, 2, GRAPH},
};

#define EXTERNAL_DATA 13 /* field of a tensor: where its data lie */
#define DATA_LOCATION 14 /* field of a tensor: 0, the default, means in the tensor itself */

enum wire { VARINT = 0, BITS_64 = 1, BYTES = 2, BITS_32 = 5 };

typedef struct level {
    message is;
    const uint8_t *end;
} level;

static message inside(message of, uint64_t field) {
    for (size_t i = 0; i < sizeof INNER / sizeof INNER[0]; i++) {
        if (INNER[i].of == (uint8_t)of && INNER[i].field == field) {
            return (message)INNER[i].is;
        }
    }
    return OTHER;
}

static bool read_varint(const uint8_t **at, const uint8_t *end, uint64_t *value) {
    *value = 0;
    for (unsigned shift = 0; shift < 64 && *at < end; shift += 7) {
        uint8_t byte = *(*at)++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            return true;
        }
    }
    return false;
}

/* Read a field's key, and its value where it is a varint, or else how many bytes follow. */
static bool read_field(const uint8_t **at, const uint8_t *end, uint64_t *field, enum wire *wire, uint64_t *value) {
    uint64_t key = 0;
    if (!read_varint(at, end, &key) || key >> 3 == 0 || key > UINT32_MAX) {
        return false;
    }
    *field = key >> 3;
    *wire = (enum wire)(key & 7);
    *value = *wire == BITS_64 ? 8 : 4;
    if (*wire == VARINT || *wire == BYTES) {
        if (!read_varint(at, end, value)) {
            return false;
        }
    } else if (*wire != BITS_64 && *wire != BITS_32) {
        return false; /* a group: nothing that writes ONNX has written one */
    }
    return *wire == VARINT || *value <= (uint64_t)(end - *at);
}

int weckd_onnx_check(const uint8_t *data, size_t bytes, weckd_error error) {
    level levels[WECKD_MAX_ONNX_DEPTH] = {{MODEL, data + bytes}};
    const uint8_t *at = data;
    size_t depth = 1;
    bool has_graph = false;
    while (depth > 0) {
        const level *now = &levels[depth - 1];
        if (at == now->end) {
            depth--;
            continue;
        }
        uint64_t field = 0, value = 0;
        enum wire wire = VARINT;
        if (!read_field(&at, now->end, &field, &wire, &value)) {
            return weckd_fail(error, WECKD_ERR_MODEL, "the graph is no ONNX: damaged at byte %zu", (size_t)(at - data));
        }
        if (now->is == TENSOR && (field == EXTERNAL_DATA || (field == DATA_LOCATION && (wire != VARINT || value != 0)))) {
            return weckd_fail(error, WECKD_ERR_MODEL, "the graph takes a tensor's data from outside its file, where nothing is "
                              "verified; save it with its data inside");
        }
        message next = wire == BYTES ? inside(now->is, field) : OTHER;
        if (wire != VARINT && next == OTHER) {
            at += value;
        }
        if (next == OTHER) {
            continue;
        }
        if (depth == WECKD_MAX_ONNX_DEPTH) {
            return weckd_fail(error, WECKD_ERR_LIMIT, "the graph's messages lie more than %d deep", WECKD_MAX_ONNX_DEPTH);
        }
        has_graph = has_graph || next == GRAPH;
        levels[depth++] = (level){next, at + value};
    }
    return has_graph ? WECKD_OK : weckd_fail(error, WECKD_ERR_MODEL, "the graph is no ONNX: it holds no graph");
}
