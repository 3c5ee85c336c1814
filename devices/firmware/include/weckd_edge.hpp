// libweckd_edge for C++17: the same calls, with an owner and exceptions. SPDX-License-Identifier: Apache-2.0
#ifndef WECKD_EDGE_HPP
#define WECKD_EDGE_HPP

#include "weckd_edge.h"

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace weckd {

// A call failed; `status` is a weckd_status.
class Error : public std::runtime_error {
public:
    Error(int failed, const std::string &message)
        : std::runtime_error(std::string(weckd_status_text(failed)) + (message.empty() ? "" : ": " + message)), status(failed) {}
    const int status;
};

struct Prediction {
    std::optional<std::string> decision; // nothing: the model abstains, and result.reason has the reason
    weckd_result result;
    std::vector<float> probabilities;    // by label
};

struct ExamDecision {
    std::optional<std::string> decision; // nothing: "unable to analyze", and result.reason has the reason
    weckd_exam_decision result;
    std::vector<double> probabilities;   // by label; zeros where no frame is evidence
};

// Verify a bundle; throws Error.
inline weckd_contract check(const std::string &folder, weckd_options options = {}) {
    char message[WECKD_MESSAGE_BYTES] = "";
    options.message = message;
    weckd_contract contract{};
    if (int status = weckd_check(folder.c_str(), &options, &contract); status != WECKD_OK) {
        throw Error(status, message);
    }
    return contract;
}

// An open bundle; one thread at a time. Moving is fine, copying is not.
class Bundle {
public:
    explicit Bundle(const std::string &folder, weckd_options options = {}) {
        char message[WECKD_MESSAGE_BYTES] = "";
        options.message = message;
        weckd_bundle *opened = nullptr;
        if (int status = weckd_open(folder.c_str(), &options, &opened); status != WECKD_OK) {
            throw Error(status, message);
        }
        own_.reset(opened);
    }

    const weckd_contract &contract() const { return *weckd_contract_of(own_.get()); }
    const weckd_model &model() const { return *weckd_model_of(own_.get()); }
    std::string label(std::uint32_t index) const {
        const char *text = weckd_label(own_.get(), index);
        return text == nullptr ? "" : text;
    }
    // The bundle's own frame: it takes a whole frame of RGB or BGR. Another frame that overlaps it is WECKD_ERR_ARGUMENT.
    std::uint8_t *frame_buffer() { return weckd_frame_buffer(own_.get()); }

    weckd_selftest_result selftest() {
        weckd_selftest_result result{};
        require(weckd_selftest(own_.get(), &result));
        return result;
    }

    // Allocates the prediction's vector and text; weckd_classify itself does not.
    Prediction classify(const weckd_frame &frame) {
        Prediction prediction{std::nullopt, {}, std::vector<float>(contract().classes)};
        require(weckd_classify(own_.get(), &frame, &prediction.result, prediction.probabilities.data(), contract().classes));
        if (prediction.result.decision != WECKD_ABSTAIN) {
            prediction.decision = label(static_cast<std::uint32_t>(prediction.result.decision));
        }
        return prediction;
    }

    // An examination: begin, add each frame, decide as often as wanted, reset. Adding allocates nothing.
    void begin_exam() { require(weckd_exam_begin(own_.get())); }
    weckd_exam_frame add_to_exam(const weckd_frame &frame) {
        weckd_exam_frame added{};
        require(weckd_exam_add(own_.get(), &frame, &added, nullptr, 0));
        return added;
    }
    ExamDecision decide_exam() {
        ExamDecision found{std::nullopt, {}, std::vector<double>(contract().classes)};
        require(weckd_exam_decide(own_.get(), &found.result, found.probabilities.data(), contract().classes));
        if (found.result.decision != WECKD_ABSTAIN) {
            found.decision = label(static_cast<std::uint32_t>(found.result.decision));
        }
        return found;
    }
    void reset_exam() { require(weckd_exam_reset(own_.get())); }

    weckd_bundle *get() const { return own_.get(); }

private:
    struct Close {
        void operator()(weckd_bundle *bundle) const { weckd_close(bundle); }
    };
    void require(int status) const {
        if (status != WECKD_OK) {
            throw Error(status, status == WECKD_ERR_BUSY ? "" : weckd_message(own_.get())); // busy: another thread may write it
        }
    }
    std::unique_ptr<weckd_bundle, Close> own_;
};

} // namespace weckd
#endif
