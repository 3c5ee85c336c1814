/* SPDX-License-Identifier: Apache-2.0 */
#include "exam/state.h"

#include <string.h>

static size_t head_bytes(void) { return (sizeof(weckd_exam) + 7) / 8 * 8; }

size_t weckd_exam_bytes(uint32_t classes) { return head_bytes() + weckd_tally_bytes(classes); }

weckd_exam *weckd_exam_init(void *memory, const weckd_exam_rule *rule, uint32_t classes) {
    weckd_exam *exam = memory;
    memset(exam, 0, sizeof *exam);
    exam->rule = *rule;
    weckd_tally_init(&exam->tally, &exam->rule, classes, (uint8_t *)memory + head_bytes());
    return exam;
}
