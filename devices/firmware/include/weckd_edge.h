/* libweckd_edge: open a weckd-edge bundle, verify it, classify frames within known memory and time.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A frame is uint8. The network predicts float32, one probability a class, each in 0..1, together 1; they are calibrated
 * inside the graph, and nothing is applied to them here.
 *
 * Every struct that a caller fills may be zeroed: zero means the default. Every function that can fail returns 0 or a
 * negative `weckd_status`. Text is UTF-8 and ends with a NUL.
 *
 * Memory: after `weckd_open` returns, this library allocates nothing. What it keeps lies in one block, of the size that
 * `weckd_memory_bytes` names. The runtime behind a backend (OpenVINO, ...) allocates its own memory on top.
 *
 * Threads: one bundle may be used by one thread at a time; a second call meanwhile returns WECKD_ERR_BUSY and changes
 * nothing. Different bundles are independent. `weckd_contract_of`, `weckd_model_of` and `weckd_label` may be called
 * from any thread between open and close. `weckd_close` must not overlap any other call on that bundle.
 *
 * Telemetry: none. ONNX Runtime's packages report to their maker unless ORT_DISABLE_TELEMETRY is 1 while they load, so
 * `weckd_open` sets it to 1 in this process before it loads that library, unless it is already 1, or 0 because somebody chose so.
 * Changing the environment must not meet a `getenv` of another thread: set the variable yourself where the program is
 * started (systemd: Environment=ORT_DISABLE_TELEMETRY=1), and it is only read; or open the first bundle before other
 * threads start. A library that the program loaded itself earlier keeps the setting that it found then.
 */
#ifndef WECKD_EDGE_H
#define WECKD_EDGE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WECKD_API_VERSION 6     /* version of this header; grows when a call changes */
#define WECKD_BUNDLE_FORMAT 1   /* newest `schema_version` of a manifest that this library reads */
#define WECKD_VERSION "0.1.0"   /* version of the library */

#define WECKD_MAX_LABEL_BYTES 128   /* bytes of one class name, its NUL included */
#define WECKD_MAX_CLASSES 1024      /* classes of one bundle */
#define WECKD_MAX_SIDE 8192         /* pixels of a side of a frame, or of a picture that a frame is made from */

#if defined(__GNUC__)
#define WECKD_EXPORT __attribute__((visibility("default")))
#else
#define WECKD_EXPORT
#endif

typedef enum weckd_status {
    WECKD_OK = 0,
    WECKD_ERR_ARGUMENT = -1,   /* a pointer is NULL, an option is unknown, a reserved field is not zero, pixels overlap
                                  the block's own frame */
    WECKD_ERR_IO = -2,         /* the system could not open or read a file */
    WECKD_ERR_FORMAT = -3,     /* not a bundle, or its JSON or an array is damaged */
    WECKD_ERR_NEWER = -4,      /* a bundle format newer than WECKD_BUNDLE_FORMAT */
    WECKD_ERR_DIGEST = -5,     /* a file's SHA-256 is not the sealed one */
    WECKD_ERR_LISTING = -6,    /* a file is missing, was added, is listed twice, or has a path that may not be listed */
    WECKD_ERR_LINK = -7,       /* a link or a special file lies in the folder */
    WECKD_ERR_UNSIGNED = -8,   /* a key was given and the bundle has no signature */
    WECKD_ERR_SIGNATURE = -9,  /* the signature is damaged, or not this key's over this manifest */
    WECKD_ERR_KEY = -10,       /* the key cannot be used: not PEM, or not P-256, P-384 or P-521 */
    WECKD_ERR_ROLLBACK = -11,  /* the bundle's version is lower than `min_version` of the options */
    WECKD_ERR_MEMORY = -12,    /* the block is too small, or the system has none left */
    WECKD_ERR_LIMIT = -13,     /* larger than a limit of this library */
    WECKD_ERR_BACKEND = -14,   /* no backend of this build runs a model of the bundle here, or its library is missing */
    WECKD_ERR_MODEL = -15,     /* the runtime refuses the model, or it is not what the manifest says */
    WECKD_ERR_GEOMETRY = -16,  /* frame, stride or region do not fit together or do not fit the contract */
    WECKD_ERR_BUSY = -17,      /* another thread is inside a call on this bundle */
    WECKD_ERR_SELFTEST = -18,  /* a prediction for a golden frame differs from the bundle's by more than its tolerance */
    WECKD_ERR_RUN = -19,       /* the runtime failed while it predicted */
    WECKD_ERR_ORDER = -20      /* a call out of its order: an examination was begun already, or none was */
} weckd_status;

/* Bytes of a message, its NUL included. */
#define WECKD_MESSAGE_BYTES 256

/* Sizes that memory depends on. The manifest has all of them but `max_source_*`, which the caller chooses. */
typedef struct weckd_sizes {
    uint32_t frame_width;      /* `input.frame.width`, pixels */
    uint32_t frame_height;     /* `input.frame.height`, pixels */
    uint32_t input_width;      /* `input.network.width`, pixels */
    uint32_t input_height;     /* `input.network.height`, pixels */
    uint32_t classes;          /* number of `labels` */
    uint32_t max_source_width;  /* largest region that WECKD_FIT_COVER accepts, pixels; 0: WECKD_FIT_COVER is not used */
    uint32_t max_source_height;
    uint64_t model_bytes;      /* bytes of the chosen model's `files`, together */
} weckd_sizes;

/* Bytes of the block that `weckd_open` needs for these sizes: a pure function, the same on every machine with 64-bit
 * pointers. 0: a size is 0 or over its limit. The runtime's own memory comes on top. */
WECKD_EXPORT size_t weckd_memory_bytes(const weckd_sizes *sizes);

typedef struct weckd_options {
    const char *public_key_pem;  /* PEM text of the owner's key; NULL: signatures are not checked */
    uint64_t min_version;        /* lowest `version` that is accepted, against rollback; only a signed version means much */
    const char *backend;         /* "openvino", "onnxruntime" or "tensorrt"; NULL: the one that this device chose, or else the bundle's
                                    first whose library is here */
    const char *precision;       /* "int8", "fp16" or "fp32" of the model; NULL: any */
    const char *library;         /* file of the backend's runtime library; NULL: the usual names */
    const char *cache_dir;       /* where a backend stores the model that it compiled; NULL: nowhere. It must be the caller's
                                    alone: its files are trusted. A stored model is read into memory of its own, on the heap.
                                    Nothing is ever removed from it: every other model, number of threads, version of the runtime or
                                    processor adds a file, and a process that is killed while it writes leaves one. Empty it
                                    after an update; what is still needed is compiled once more */
    uint32_t threads;            /* processor threads that one frame may use; 0: 1 */
    uint32_t max_source_width;   /* largest region that WECKD_FIT_COVER accepts, pixels; 0: WECKD_FIT_COVER is an error */
    uint32_t max_source_height;
    void *memory;                /* the block, aligned to 64 bytes; NULL: taken from the heap once */
    size_t memory_bytes;
    uint64_t (*clock_ns)(void *clock_context); /* for timings; NULL: CLOCK_MONOTONIC */
    void *clock_context;
    char *message;               /* WECKD_MESSAGE_BYTES for the error of a failed open or check; may be NULL */
    uint64_t reserved[4];        /* zero */
} weckd_options;

typedef enum weckd_signature {
    WECKD_UNSIGNED = 0,
    WECKD_SIGNED_UNCHECKED = 1,  /* there is a signature, and no key was given */
    WECKD_SIGNED_VALID = 2
} weckd_signature;

/* Input, classes and decisions of a bundle, as its manifest has them. */
typedef struct weckd_contract {
    uint32_t frame_width;    /* pixels of the frame that the bundle was made for */
    uint32_t frame_height;
    uint32_t input_width;    /* pixels of the network's own input, which is made from the frame */
    uint32_t input_height;
    uint32_t classes;
    uint32_t format;         /* `schema_version` of the manifest */
    uint64_t version;        /* version of the bundle; 0: it has none */
    uint64_t model_bytes;    /* weckd_check: the most bytes that a model has which this build may open with these options, 0: it can
                                open none. An open bundle's: bytes of its model */
    double confidence_threshold; /* the model abstains ("unable to analyze") where no probability reaches this */
    weckd_signature signature;
    uint8_t passed;          /* no gate of the device profile failed */
    uint8_t synthetic;       /* trained on drawn phantoms: for trying out, nothing else */
    uint8_t has_guard;       /* the bundle has an input guard */
    char name[WECKD_MAX_LABEL_BYTES];   /* name of the bundle */
    char device[WECKD_MAX_LABEL_BYTES]; /* id of the device profile it was built for */
    char id[65];             /* the bundle's `manifest_sha256`, 64 digits: unique among all bundles */
} weckd_contract;

/* The model that an open bundle runs: what `weckd-edge finalize` chose on this device (`device/choice.json`), where its files
 * prove true, its library is here and, of an engine, takes it, or else the first model of the manifest whose library is here and which this processor computes.
 * An int8 model in OpenVINO is an IR (.xml): one that is an ONNX graph is passed over, as OpenVINO can compute it otherwise than it is
 * written. */
typedef struct weckd_model {
    const char *backend;         /* "openvino", ... */
    const char *backend_version; /* version of its library */
    const char *precision;       /* "int8", "fp16" or "fp32" */
    double tolerance;            /* of the self-test: largest difference of a probability that passes */
    uint8_t chosen_here;         /* 1: this device chose it; 0: the manifest's order did */
    uint8_t takes_frame;         /* 1: its graph takes the frame; 0: it takes the network's input, which this library makes */
} weckd_model;

typedef struct weckd_bundle weckd_bundle;

/* Verify a bundle without opening a model: signature, digests, manifest. `contract` may be NULL. */
WECKD_EXPORT int weckd_check(const char *folder, const weckd_options *options, weckd_contract *contract);

/* Verify a bundle and open its model. On failure `*bundle` is NULL and `options->message` has the error. */
WECKD_EXPORT int weckd_open(const char *folder, const weckd_options *options, weckd_bundle **bundle);

WECKD_EXPORT void weckd_close(weckd_bundle *bundle); /* NULL is allowed; a block of the caller's stays the caller's */

WECKD_EXPORT const weckd_contract *weckd_contract_of(const weckd_bundle *bundle);
WECKD_EXPORT const weckd_model *weckd_model_of(const weckd_bundle *bundle);
WECKD_EXPORT const char *weckd_label(const weckd_bundle *bundle, uint32_t index); /* NULL: no such class */
WECKD_EXPORT const char *weckd_message(const weckd_bundle *bundle); /* error of the last call that failed on it */

typedef enum weckd_format {
    WECKD_RGB = 0,   /* 3 bytes a pixel */
    WECKD_BGR = 1,   /* 3 bytes a pixel */
    WECKD_GREY = 2,  /* 1 byte a pixel; red, green and blue become that byte */
    WECKD_NV12 = 3,  /* a plane of luma, then one of interleaved Cb, Cr at half the width and height */
    WECKD_YUYV = 4   /* 2 bytes a pixel: luma, Cb, luma, Cr for two pixels beside each other (YUY2) */
} weckd_format;

/* Matrix that makes RGB of YCbCr, in 16-bit fixed point, rounded to nearest, clipped to 0..255; each pixel takes the chroma pair
 * of its 2 x 2 block (NV12), or of its two pixels (YUYV), as it is. */
typedef enum weckd_matrix {
    WECKD_BT601_LIMITED = 0, /* luma 16..235, chroma 16..240: most cameras send this */
    WECKD_BT601_FULL = 1,    /* 0..255 */
    WECKD_BT709_LIMITED = 2,
    WECKD_BT709_FULL = 3
} weckd_matrix;

/* How the region becomes the contract's frame, of which only what the network and the guard need is made. The crop and the resize
 * to the network's own input follow the bundle; a caller does neither. */
typedef enum weckd_fit {
    WECKD_FIT_EXACT = 0, /* the region has the frame's size and is taken pixel for pixel; another size is an error */
    WECKD_FIT_COVER = 1  /* its largest centred box of the frame's proportions, resized by area: bit-exact with `weckd-edge
                            predict` on an image of that size. A region of fewer pixels than the network's input along a side is
                            an error, unless it has the frame's size */
} weckd_fit;

typedef struct weckd_frame {
    const uint8_t *pixels;     /* first row; for NV12 the luma plane */
    const uint8_t *chroma;     /* NV12 only: the chroma plane; NULL: right behind the luma's `height` rows */
    uint32_t width, height;    /* pixels */
    uint32_t stride_bytes;     /* bytes from a row to the next; 0: rows without padding */
    uint32_t chroma_stride_bytes; /* NV12 only; 0: as the luma's */
    weckd_format format;
    weckd_matrix matrix;       /* NV12 and YUYV only */
    uint32_t roi_x, roi_y, roi_width, roi_height; /* the region of interest; roi_width and roi_height 0: all of it.
                                                     Of NV12 all four are even, of YUYV roi_x and roi_width */
    weckd_fit fit;
    uint32_t flags;            /* WECKD_IGNORE_GUARD or 0 */
    uint32_t reserved[3];      /* zero */
} weckd_frame;

#define WECKD_IGNORE_GUARD 1u /* run the network also where the input guard rejects the frame */

/* The block's own frame, rows without padding, `frame_height * frame_width * 3` bytes. A camera that writes there saves a
 * copy: pass it as `pixels`, as RGB, or as BGR, which, where the graph takes the frame, costs one pass to exchange red and blue in
 * place and one to restore them. It may be overwritten by every other frame and by the self-test. A frame that overlaps it in any
 * other way (another format, a stride, a region, a plane of NV12, another size) is WECKD_ERR_ARGUMENT. */
WECKD_EXPORT uint8_t *weckd_frame_buffer(weckd_bundle *bundle);

#define WECKD_ABSTAIN (-1) /* the decision where the model abstains: "unable to analyze" */

typedef enum weckd_reason {
    WECKD_REASON_NONE = 0,
    WECKD_REASON_LOW_PROBABILITY = 1, /* no probability reaches `confidence_threshold` */
    WECKD_REASON_NOT_A_NUMBER = 2,    /* a probability is not a number */
    WECKD_REASON_TOO_DARK = 3,        /* the guard: too much of the frame is near black */
    WECKD_REASON_TOO_BRIGHT = 4,      /* the guard: too much of it is near white */
    WECKD_REASON_FLAT = 5,            /* the guard: too little contrast */
    WECKD_REASON_BLURRED = 6,         /* the guard: too little fine detail */
    WECKD_REASON_OUT_OF_DISTRIBUTION = 7, /* the guard: the frame is not like the training frames (OOD score) */
    WECKD_REASON_NON_GRADEABLE_LABEL = 8, /* the model abstains on the predicted label, as the bundle says */
    WECKD_REASON_TOO_FEW_FRAMES = 9   /* an examination: fewer frames count than a decision needs */
} weckd_reason;

#define WECKD_REASONS 10 /* number of reasons, WECKD_REASON_NONE included */

/* Image quality of a frame, measured on a grid of its points. */
typedef struct weckd_quality {
    double sharpness;      /* standard deviation of the luminance's Laplacian, grey levels */
    double contrast;       /* standard deviation of the luminance, grey levels */
    double dark_fraction;   /* share of the points that are near black, 0..1 */
    double bright_fraction; /* share of the points that are near white, 0..1 */
} weckd_quality;

typedef struct weckd_result {
    int32_t decision;      /* index of a label, or WECKD_ABSTAIN */
    int32_t prediction;    /* index of the most probable label, the first of equals; -1: the network was not run, or a
                              probability is not a number */
    float probability;     /* probability of the predicted label, 0..1 */
    weckd_reason reason;   /* why the model abstains; WECKD_REASON_NONE: it decides */
    weckd_reason guard;    /* verdict of the input guard; where it rejects the frame, the network is run only with
                              WECKD_IGNORE_GUARD */
    weckd_quality quality; /* zeros where the bundle has no guard */
    double ood_score;      /* squared distance from the training frames; negative: the bundle has no guard */
    uint64_t front_end_ns; /* time from the caller's pixels to what the graph takes, the guard's part not counted */
    uint64_t guard_ns;     /* time for the guard's features and its verdict */
    uint64_t network_ns;   /* time from what the graph takes to probabilities; 0: the network was not run */
    uint64_t decision_ns;  /* time from probabilities to the decision */
} weckd_result;

/* Classify one frame. `probabilities` takes `classes` floats and may be NULL. To abstain ("unable to analyze") is no
 * failure: 0 is returned; where the network was not run, `probabilities` are zeros. After a failure `decision` is
 * WECKD_ABSTAIN. */
WECKD_EXPORT int weckd_classify(weckd_bundle *bundle, const weckd_frame *frame, weckd_result *result,
                                float *probabilities, uint32_t classes);

/* An examination: frames of one ear that end in one decision, by the bundle's own rule (`exam` of the manifest). One bundle has one at
 * a time: weckd_exam_begin, weckd_exam_add for each frame, weckd_exam_decide as often as wanted, weckd_exam_reset. Nothing is
 * allocated. weckd_classify and weckd_selftest may be called in between and change nothing of it. For the same frames and
 * probabilities `weckd-edge` decides the same, to the bit: evidence is summed in whole numbers. */

typedef enum weckd_use {
    WECKD_COUNTED = 0,   /* the frame is evidence */
    WECKD_REPEATED = 1,  /* nearly the last frame that counts over again; the network was not run */
    WECKD_REFUSED = 2,   /* no evidence: the guard rejects it, a probability is no number, or its label is non-gradeable */
    WECKD_NOT_NEEDED = 3 /* the examination had seen enough; nobody looked at the frame */
} weckd_use;

/* What an examination makes of one frame. */
typedef struct weckd_exam_frame {
    weckd_use use;
    weckd_reason reason;     /* why the frame is refused; WECKD_REASON_NONE: it is not */
    int32_t prediction;      /* index of the most probable label of this frame alone; -1: there is none */
    float probability;       /* probability of that label, 0..1 */
    weckd_quality quality;   /* zeros where the bundle has no guard, or nobody looked */
    double ood_score;        /* squared distance from the training frames; negative: there is none */
    uint64_t front_end_ns;   /* times as in weckd_result */
    uint64_t guard_ns;
    uint64_t network_ns;     /* 0: the network was not run */
    uint8_t has_seen_enough; /* 1: no later frame changes the decision */
} weckd_exam_frame;

/* The decision of an examination, or what its frames say so far. */
typedef struct weckd_exam_decision {
    int32_t decision;        /* index of a label, or WECKD_ABSTAIN */
    int32_t prediction;      /* index of the most probable label, the first of equals; -1: no frame is evidence */
    double probability;      /* probability of that label, 0..1 */
    weckd_reason reason;     /* WECKD_REASON_TOO_FEW_FRAMES, WECKD_REASON_LOW_PROBABILITY, or WECKD_REASON_NONE: it decides */
    uint8_t has_seen_enough; /* 1: no later frame changes the decision */
    uint64_t seen;           /* frames that were looked at: counted, repeated and refused */
    uint64_t counted, repeated, refused;
    uint64_t refused_by[WECKD_REASONS]; /* refused frames by weckd_reason */
} weckd_exam_decision;

/* Begin an examination. WECKD_ERR_ORDER: one was begun already. */
WECKD_EXPORT int weckd_exam_begin(weckd_bundle *bundle);

/* Add the next frame. `probabilities` takes `classes` floats, of this frame alone, zeros where there are none, and may be NULL. A
 * frame that is refused is no failure. After a failure the examination is as it was, and `use` is WECKD_REFUSED. WECKD_ERR_ORDER:
 * none was begun.
 * WECKD_ERR_ARGUMENT: also with WECKD_IGNORE_GUARD. */
WECKD_EXPORT int weckd_exam_add(weckd_bundle *bundle, const weckd_frame *frame, weckd_exam_frame *added, float *probabilities,
                                uint32_t classes);

/* Decide by the frames so far; more may follow. `probabilities` takes `classes` doubles, zeros where no frame is evidence, and may be
 * NULL. WECKD_ERR_ORDER: none was begun. */
WECKD_EXPORT int weckd_exam_decide(weckd_bundle *bundle, weckd_exam_decision *decision, double *probabilities, uint32_t classes);

/* End the examination and forget its frames; WECKD_OK also where none was begun. */
WECKD_EXPORT int weckd_exam_reset(weckd_bundle *bundle);

typedef struct weckd_selftest_result {
    uint32_t frames;     /* golden frames that were run */
    uint32_t flips;      /* golden frames whose predicted label is not the bundle's */
    double max_abs;      /* largest difference of a probability */
    double tolerance;    /* largest difference that passes, by the bundle, for the model that runs */
} weckd_selftest_result;

/* Run the golden frames and compare with the golden predictions of the model that runs. `result` may be NULL.
 * WECKD_ERR_SELFTEST: a probability differs by more than the tolerance, or is not a number. The files are hashed again while
 * they are read. */
WECKD_EXPORT int weckd_selftest(weckd_bundle *bundle, weckd_selftest_result *result);

WECKD_EXPORT const char *weckd_status_text(int status); /* never NULL */
WECKD_EXPORT const char *weckd_reason_text(weckd_reason reason); /* never NULL */
WECKD_EXPORT uint32_t weckd_api_version(void);
WECKD_EXPORT uint32_t weckd_bundle_format(void);
WECKD_EXPORT const char *weckd_library_version(void);
WECKD_EXPORT const char *weckd_backend_at(uint32_t index); /* names of the backends of this build; NULL: no more */

#ifdef __cplusplus
}
#endif
#endif
