/* SPDX-License-Identifier: Apache-2.0 */
#include "bundle/signature.h"

#include "formats/base64.h"
#include "formats/json.h"

#include <mbedtls/md.h>
#include <mbedtls/pk.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEDIA_TYPE "application/vnd.dev.sigstore.bundle.v0.3+json"
#define PAYLOAD_TYPE "application/vnd.in-toto+json"
#define STATEMENT_TYPE "https://in-toto.io/Statement/v1"
#define PREDICATE_TYPE "https://model_signing/signature/v1.0"
#define MAX_TEXT (1u << 20)
#define PEM_BYTES 1024

/* The parsed file; nothing in it is trusted yet. */
typedef struct envelope {
    uint8_t *payload;
    size_t payload_bytes;
    uint8_t *sig;
    size_t sig_bytes;
    const char *hint;
} envelope;

static bool decode(const char *text, uint8_t **bytes, size_t *count) {
    if (text == NULL || (*bytes = malloc(strlen(text) / 4 * 3 + 3)) == NULL) {
        return false;
    }
    return weckd_base64_read(text, strlen(text), *bytes, count);
}

static bool is_text(const json_t *object, const char *key, const char *expected) {
    const char *text = weckd_json_text(object, key, MAX_TEXT);
    return text != NULL && strcmp(text, expected) == 0;
}

static bool is_only_item(const json_t *list, const json_t **item) {
    *item = json_array_get(list, 0);
    return json_is_array(list) && json_array_size(list) == 1 && json_is_object(*item);
}

static bool has_keys(const json_t *object, const weckd_key *keys) {
    return weckd_json_expect(object, keys, "signature", (weckd_error){NULL}) == WECKD_OK;
}

static bool parse_envelope(const json_t *root, envelope *into) {
    static const weckd_key roots[] = {{"mediaType", WECKD_TEXT, false}, {"verificationMaterial", WECKD_OBJECT, false},
                                      {"dsseEnvelope", WECKD_OBJECT, false}, {0}};
    static const weckd_key materials[] = {{"publicKey", WECKD_OBJECT, false}, {"tlogEntries", WECKD_LIST, true}, {0}};
    static const weckd_key hints[] = {{"hint", WECKD_TEXT, false}, {0}};
    static const weckd_key envelopes[] = {{"payload", WECKD_TEXT, false}, {"payloadType", WECKD_TEXT, false},
                                          {"signatures", WECKD_LIST, false}, {0}};
    static const weckd_key entries[] = {{"sig", WECKD_TEXT, false}, {"keyid", WECKD_TEXT, true}, {0}};
    const json_t *material = json_object_get(root, "verificationMaterial");
    const json_t *key = json_object_get(material, "publicKey");
    const json_t *dsse = json_object_get(root, "dsseEnvelope"), *entry = NULL;
    into->hint = weckd_json_text(key, "hint", 64);
    if (!has_keys(root, roots) || !has_keys(material, materials) || !has_keys(key, hints) || !has_keys(dsse, envelopes) ||
        json_array_size(json_object_get(material, "tlogEntries")) != 0 || into->hint == NULL ||
        !is_text(root, "mediaType", MEDIA_TYPE) || !is_text(dsse, "payloadType", PAYLOAD_TYPE) ||
        !is_only_item(json_object_get(dsse, "signatures"), &entry) || !has_keys(entry, entries) ||
        (json_object_get(entry, "keyid") != NULL && !is_text(entry, "keyid", ""))) {
        return false;
    }
    return decode(weckd_json_text(dsse, "payload", MAX_TEXT), &into->payload, &into->payload_bytes) &&
           decode(weckd_json_text(entry, "sig", MAX_TEXT), &into->sig, &into->sig_bytes);
}

/* Tell whether the hint, a SHA-256, is that of this key as PEM: so a wrong key is told from a wrong signature. */
static bool is_hint_of(const char *hint, mbedtls_pk_context *key) {
    unsigned char pem[PEM_BYTES];
    uint8_t digest[WECKD_SHA256_BYTES], hinted[WECKD_SHA256_BYTES];
    if (mbedtls_pk_write_pubkey_pem(key, pem, sizeof pem) != 0) {
        return false;
    }
    weckd_hash hash;
    weckd_hash_start(&hash);
    weckd_hash_add(&hash, pem, strlen((const char *)pem));
    weckd_hash_end(&hash, digest);
    return weckd_hex_read(hint, strlen(hint), hinted) && memcmp(digest, hinted, sizeof digest) == 0;
}

/* Curves that sign bundles: the bytes of a key's DER between its length and its point, and the digest that goes with the curve.
 * The DER is read because no call that tells the curve is in every version of Mbed TLS from 2.28 to 3. */
#define EC_PUBLIC_KEY 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01
#define MAX_ALGORITHM 21
static const struct {
    size_t bytes;
    uint8_t der[MAX_ALGORITHM];
    mbedtls_md_type_t digest;
} curves[] = {
    {21, {0x30, 0x13, EC_PUBLIC_KEY, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}, MBEDTLS_MD_SHA256}, /* P-256 */
    {18, {0x30, 0x10, EC_PUBLIC_KEY, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22}, MBEDTLS_MD_SHA384},                  /* P-384 */
    {18, {0x30, 0x10, EC_PUBLIC_KEY, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23}, MBEDTLS_MD_SHA512},                  /* P-521 */
};

/* Return the digest that goes with a key's curve; MBEDTLS_MD_NONE: the curve signs no bundles. */
static mbedtls_md_type_t digest_for(mbedtls_pk_context *key) {
    unsigned char der[256]; /* written at its end */
    int bytes = mbedtls_pk_can_do(key, MBEDTLS_PK_ECDSA) ? mbedtls_pk_write_pubkey_der(key, der, sizeof der) : 0;
    if (bytes < 3 + MAX_ALGORITHM) {
        return MBEDTLS_MD_NONE;
    }
    const unsigned char *algorithm = der + sizeof der - (size_t)bytes;
    algorithm += algorithm[1] < 0x80 ? 2 : 3; /* a sequence of at most 255 bytes */
    for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++) {
        if (memcmp(algorithm, curves[i].der, curves[i].bytes) == 0) {
            return curves[i].digest;
        }
    }
    return MBEDTLS_MD_NONE;
}

/* Verify the signature over the payload. DSSE signs "DSSEv1 <length> <type> <length> <payload>", so that no payload can be taken for one of another type. */
static bool is_signed(const envelope *from, mbedtls_pk_context *key, mbedtls_md_type_t kind) {
    char head[128];
    int head_bytes = snprintf(head, sizeof head, "DSSEv1 %zu %s %zu ", strlen(PAYLOAD_TYPE), PAYLOAD_TYPE, from->payload_bytes);
    const mbedtls_md_info_t *info = mbedtls_md_info_from_type(kind);
    unsigned char digest[MBEDTLS_MD_MAX_SIZE];
    mbedtls_md_context_t hash;
    mbedtls_md_init(&hash);
    bool good = head_bytes > 0 && info != NULL && mbedtls_md_setup(&hash, info, 0) == 0 && mbedtls_md_starts(&hash) == 0 &&
                mbedtls_md_update(&hash, (const unsigned char *)head, (size_t)head_bytes) == 0 &&
                mbedtls_md_update(&hash, from->payload, from->payload_bytes) == 0 && mbedtls_md_finish(&hash, digest) == 0 &&
                mbedtls_pk_verify(key, kind, digest, mbedtls_md_get_size(info), from->sig, from->sig_bytes) == 0;
    mbedtls_md_free(&hash);
    return good;
}

static bool is_digest(const json_t *object, const char *key, const uint8_t expected[WECKD_SHA256_BYTES]) {
    const char *text = weckd_json_text(object, key, 64);
    uint8_t found[WECKD_SHA256_BYTES];
    return text != NULL && weckd_hex_read(text, strlen(text), found) && memcmp(found, expected, sizeof found) == 0;
}

/* Tell whether the statement is about this manifest: it names one resource, whose digest is the manifest's, and the digest of
 * that digest as its subject. */
static bool is_about(const json_t *statement, const uint8_t manifest_sha256[WECKD_SHA256_BYTES]) {
    const json_t *subject = NULL, *resource = NULL;
    uint8_t root[WECKD_SHA256_BYTES];
    weckd_hash hash;
    weckd_hash_start(&hash);
    weckd_hash_add(&hash, manifest_sha256, WECKD_SHA256_BYTES);
    weckd_hash_end(&hash, root);
    return is_text(statement, "_type", STATEMENT_TYPE) && is_text(statement, "predicateType", PREDICATE_TYPE) &&
           is_only_item(json_object_get(statement, "subject"), &subject) &&
           is_digest(json_object_get(subject, "digest"), "sha256", root) &&
           is_only_item(json_object_get(json_object_get(statement, "predicate"), "resources"), &resource) &&
           is_text(resource, "algorithm", "sha256") && is_digest(resource, "digest", manifest_sha256);
}

static int check(const envelope *from, mbedtls_pk_context *key, const uint8_t manifest_sha256[WECKD_SHA256_BYTES],
                 weckd_error error) {
    mbedtls_md_type_t kind = digest_for(key);
    if (kind == MBEDTLS_MD_NONE) {
        return weckd_fail(error, WECKD_ERR_KEY, "the public key is on no curve that signs bundles (P-256, P-384, P-521)");
    }
    if (!is_hint_of(from->hint, key)) {
        return weckd_fail(error, WECKD_ERR_SIGNATURE, "signature: made by another key than the one given");
    }
    if (!is_signed(from, key, kind)) {
        return weckd_fail(error, WECKD_ERR_SIGNATURE, "signature: not valid by this key; it was changed");
    }
    json_t *statement = NULL;
    if (weckd_json_read((const char *)from->payload, from->payload_bytes, "signature", &statement, error) == WECKD_ERR_MEMORY) {
        return WECKD_ERR_MEMORY;
    }
    bool good = statement != NULL && is_about(statement, manifest_sha256);
    json_decref(statement);
    return good ? WECKD_OK : weckd_fail(error, WECKD_ERR_SIGNATURE, "manifest.json is not what was signed; it was changed");
}

int weckd_signature_check(const char *signature, size_t bytes, const char *public_key_pem,
                          const uint8_t manifest_sha256[WECKD_SHA256_BYTES], weckd_error error) {
    mbedtls_pk_context key;
    mbedtls_pk_init(&key);
    if (mbedtls_pk_parse_public_key(&key, (const unsigned char *)public_key_pem, strlen(public_key_pem) + 1) != 0) {
        mbedtls_pk_free(&key);
        return weckd_fail(error, WECKD_ERR_KEY, "the public key is not PEM of an elliptic-curve key");
    }
    envelope from = {0};
    json_t *root = NULL;
    int status = weckd_json_read(signature, bytes, "signature", &root, error);
    if (status == WECKD_OK && parse_envelope(root, &from)) {
        status = check(&from, &key, manifest_sha256, error);
    } else if (status != WECKD_ERR_MEMORY) {
        status = weckd_fail(error, WECKD_ERR_SIGNATURE, "signature: not a signature as model signing writes it");
    }
    free(from.payload);
    free(from.sig);
    json_decref(root);
    mbedtls_pk_free(&key);
    return status;
}
