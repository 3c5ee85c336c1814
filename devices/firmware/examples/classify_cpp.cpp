// Classify one raw RGB frame of the contract's size, from C++: classify_cpp BUNDLE FRAME [LIBRARY]. SPDX-License-Identifier: Apache-2.0
#include <weckd_edge.hpp>

#include <cstdio>
#include <fstream>
#include <iterator>

int main(int argc, char **argv) {
    if (argc < 3) {
        return 2;
    }
    try {
        weckd_options options{};
        options.library = argc > 3 ? argv[3] : nullptr;
        weckd::Bundle bundle(argv[1], options);
        bundle.selftest();
        std::ifstream file(argv[2], std::ios::binary);
        const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
        if (bytes.size() != std::size_t{bundle.contract().frame_width} * bundle.contract().frame_height * 3) {
            std::fprintf(stderr, "expected one RGB frame of the contract's size\n");
            return 1;
        }
        weckd_frame frame{};
        frame.pixels = reinterpret_cast<const std::uint8_t *>(bytes.data());
        frame.width = bundle.contract().frame_width;
        frame.height = bundle.contract().frame_height;
        const weckd::Prediction prediction = bundle.classify(frame);
        std::printf("%s\n", prediction.decision ? prediction.decision->c_str() : weckd_reason_text(prediction.result.reason));
    } catch (const weckd::Error &error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
    return 0;
}
