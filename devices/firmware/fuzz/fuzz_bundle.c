/* Opens, tests and closes a bundle in which one file is any bytes, with right digests.
 *
 * The first byte chooses the file: golden frames, golden predictions, the signature, the device's choice, the graph, or a piece of
 * the manifest. SPDX-License-Identifier: Apache-2.0 */
#include "repair.h"
#include "weckd_edge.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FRAMES, EXPECTED, SIGNATURE, CHOICE, GRAPH, PIECE, KINDS };

static const char PUBLIC_KEY[] = "-----BEGIN PUBLIC KEY-----\n"
                                 "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYP7UuiVanTHJYet0xjVtaMBJuJI7\n"
                                 "Yfps5mliLmDyn7Z5A/4QCLi8maQa6elWKLxk8vGyDC1+n1F3o8KU1EYimQ==\n"
                                 "-----END PUBLIC KEY-----\n";

static const char MANIFEST[] =
    "{\n \"device\": \"generic-x86\",\n \"exam\": {\"confidence_threshold\": 0.5, \"duplicate_distance\": null, \"evidence\": \"vote\", "
    "\"max_frames\": 9, \"min_frames\": 1, \"rank\": \"confidence\", \"scale\": 1, \"stop_lead\": null, \"top_k\": 2, \"weights\": null},\n"
    " \"files\": [\n"
    "  {\"bytes\": %zu, \"path\": \"model/model.onnx\", \"sha256\": \"%s\"},\n"
    "  {\"bytes\": %zu, \"path\": \"selftest/expected.npy\", \"sha256\": \"%s\"},\n"
    "  {\"bytes\": %zu, \"path\": \"selftest/frames.npy\", \"sha256\": \"%s\"}],\n"
    " \"gates\": [],\n \"input\": {\"frame\": {\"crop\": \"center\", \"height\": 4, \"width\": 4}, \"network\": "
    "{\"height\": 4, \"mean\": [0.0, 0.0, 0.0], \"std\": [1.0, 1.0, 1.0], \"width\": 4}},\n"
    " \"input_name\": \"frame\",\n \"labels\": [\"a\", \"b\"],\n"
    " \"manifest_sha256\": \"0000000000000000000000000000000000000000000000000000000000000000\",\n \"models\": [{"
    "\"backend\": \"echo\", \"backend_version\": \"1\", \"precision\": \"int8\", \"kind\": \"model\", \"source_sha256\": \"\",\n"
    "  \"files\": [{\"bytes\": %zu, \"path\": \"model/model.onnx\", \"sha256\": \"%s\"}], \"tolerance\": 0.5,\n"
    "  \"expected\": {\"bytes\": %zu, \"path\": \"selftest/expected.npy\", \"sha256\": \"%s\"}}],\n"
    " \"name\": \"toy\",\n \"network_input_name\": \"image\",\n"
    " \"onnx\": {\"bytes\": %zu, \"path\": \"model/model.onnx\", \"sha256\": \"%s\"},\n \"onnx_precision\": \"int8\",\n"
    " \"operating_point\": {\"confidence_threshold\": 0.5},\n \"output_name\": \"p\",\n \"passed\": true,\n \"schema_version\": 1,\n"
    " \"selftest\": {\"frames\": {\"bytes\": %zu, \"path\": \"selftest/frames.npy\", \"sha256\": \"%s\"}, \"reference\": \"x\"},\n"
    " \"synthetic\": true,\n \"target\": \"cpu\",\n \"version\": 1,\n \"versions\": {}%.*s\n}\n";

static char folder[128]; /* below TMPDIR: in memory, such as /dev/shm, it runs several times as many */

static void spill(const char *name, const void *data, size_t bytes) {
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, data, bytes) != (ssize_t)bytes || close(fd) != 0) {
        abort();
    }
}

static size_t npy(char *to, const char *type, const char *shape, size_t data) {
    char head[118];
    int written = snprintf(head, sizeof head, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", type, shape);
    memset(head + written, ' ', sizeof head - (size_t)written - 1);
    head[sizeof head - 1] = '\n';
    memcpy(to, "\x93NUMPY\x01\x00v\x00", 10);
    memcpy(to + 10, head, sizeof head);
    memset(to + 10 + sizeof head, 1, data);
    return 10 + sizeof head + data;
}

static void remove_folder(void) {
    char command[160];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    (void)!system(command);
}

static void make_folder(void) {
    static const char *const below[] = {"model", "selftest", "device"};
    const char *below_this = getenv("TMPDIR");
    int length = snprintf(folder, sizeof folder, "%s/weckd-fuzz-XXXXXX", below_this != NULL ? below_this : "/tmp");
    if (length < 0 || (size_t)length >= sizeof folder || mkdtemp(folder) == NULL) {
        abort();
    }
    for (size_t i = 0; i < 3; i++) {
        char path[256];
        (void)snprintf(path, sizeof path, "%s/%s", folder, below[i]);
        (void)mkdir(path, 0700);
    }
    (void)atexit(remove_folder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char frames[512], expected[512], manifest[1 << 17];
    static int made;
    if (made == 0) {
        make_folder();
        made = 1;
    }
    if (size < 1 || size > 1 << 16) {
        return 0;
    }
    int kind = data[0] % KINDS;
    const void *content[3] = {"\x3a\x00", expected, frames}; /* a model of ONNX that holds an empty graph */
    size_t bytes[3] = {2, npy(expected, "<f4", "1, 2", 8), npy(frames, "|u1", "1, 4, 4, 3", 48)};
    int replaced = kind == GRAPH ? 0 : kind == EXPECTED ? 1 : kind == FRAMES ? 2 : -1;
    if (replaced >= 0) {
        content[replaced] = data + 1;
        bytes[replaced] = size - 1;
    }
    char hex[3][65];
    for (int i = 0; i < 3; i++) {
        hex_of(content[i], bytes[i], hex[i]);
    }
    int piece = kind == PIECE ? (int)size - 1 : 0;
    int length = snprintf(manifest, sizeof manifest, MANIFEST, bytes[0], hex[0], bytes[1], hex[1], bytes[2], hex[2], bytes[0],
                          hex[0], bytes[1], hex[1], bytes[0], hex[0], bytes[2], hex[2], piece, (const char *)data + 1);
    repair_digest(manifest, (size_t)length);
    spill("model/model.onnx", content[0], bytes[0]);
    spill("selftest/expected.npy", content[1], bytes[1]);
    spill("selftest/frames.npy", content[2], bytes[2]);
    spill("manifest.json", manifest, (size_t)length);
    spill("device/choice.json", kind == CHOICE ? (const void *)(data + 1) : "", kind == CHOICE ? size - 1 : 0);
    spill("signature", kind == SIGNATURE ? (const void *)(data + 1) : "", kind == SIGNATURE ? size - 1 : 0);
    char message[WECKD_MESSAGE_BYTES];
    weckd_options options = {.message = message, .public_key_pem = kind == SIGNATURE ? PUBLIC_KEY : NULL};
    weckd_bundle *bundle = NULL;
    if (weckd_open(folder, &options, &bundle) == WECKD_OK) {
        if (kind == SIGNATURE) {
            abort(); /* nobody has the private key */
        }
        (void)weckd_selftest(bundle, NULL);
    }
    weckd_close(bundle);
    return 0;
}
