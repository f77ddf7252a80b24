// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/mkfs/options.hpp"

#include <CLI/CLI.hpp>

#include <charconv>

#include "tools/mkfs/run.hpp"

namespace sdlm::tools::mkfs {

namespace {

bool bad_label(const std::string& label) {
    for (const char c : label) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7f) return true;
    }
    return label.size() > limits::label_bytes;
}

// An empty string when the text options are good, else a sentence.
std::string check_texts(Options& options, const std::string& uuid, const std::string& area) {
    if (bad_label(options.label))
        return "--label: at most " + std::to_string(limits::label_bytes) + " bytes without control characters";
    if (!uuid.empty()) {
        Uuid parsed;
        if (!parse_uuid(uuid, parsed) || parsed.none())
            return "--uuid: '" + uuid + "' is not a UUID (like 8a6e0804-2bd0-4672-b79d-d97027f9071a, not all zero)";
        options.uuid = parsed;
    }
    if (!area.empty()) {
        options.area_bytes = parse_bytes(area);
        if (!options.area_bytes || *options.area_bytes < limits::area_bytes_min ||
            *options.area_bytes > limits::area_bytes_max)
            return "--journal-size: '" + area + "' is not a size between " +
                   std::to_string(limits::area_bytes_min / 1024) + "k and " +
                   std::to_string(limits::area_bytes_max >> 30) + "G";
    }
    return {};
}

}  // namespace

std::optional<std::uint64_t> parse_bytes(std::string_view text) {
    std::uint64_t number = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (failed != std::errc{}) return std::nullopt;
    const std::string_view suffix(end, static_cast<std::size_t>(text.data() + text.size() - end));
    unsigned shift = 0;
    if (suffix == "k" || suffix == "K") shift = 10;
    else if (suffix == "M" || suffix == "m") shift = 20;
    else if (suffix == "G" || suffix == "g") shift = 30;
    else if (!suffix.empty()) return std::nullopt;
    if (number > (UINT64_C(1) << 63) >> shift) return std::nullopt;
    return number << shift;
}

std::optional<Options> parse_options(int argc, const char* const* argv, std::ostream& out, std::ostream& err,
                                     int& exit_code) {
    Options options;
    std::string uuid;
    std::string area;
    CLI::App app{"Makes an sdlm volume on a shared block device or an image file. Everything on it is lost.",
                 "mkfs.sdlm"};
    app.set_version_flag("-V,--version", "mkfs.sdlm " SDLM_VERSION);
    app.add_option("-L,--label", options.label, "volume label, at most 32 bytes")->type_name("LABEL");
    app.add_option("-N,--node-slots", options.slot_count, "how many nodes there can be, 1 to 255 (default 16)")
        ->type_name("NODE-SLOTS")
        ->check(CLI::Range(std::size_t{1}, limits::slots_max).description(""));
    app.add_option("-b,--block-size", options.block_bytes, "bytes of a block (default: the device's)")
        ->type_name("512|4096")
        ->check(CLI::IsMember({512, 4096}).description(""));
    app.add_option("-U,--uuid", uuid, "volume UUID (default: a random one)")->type_name("UUID");
    app.add_option("-J,--journal-size", area, "journal of each node, with suffix k, M or G (default 8M)")
        ->type_name("SIZE-PER-NODE");
    app.add_option("--heartbeat-ms", options.heartbeat_ms, "a node writes at least this often (default 500)")
        ->type_name("N");
    app.add_option("--lease-ms", options.lease_ms, "a node that cannot write this long stops (default 8000)")
        ->type_name("N");
    app.add_option("--io-timeout-ms", options.io_timeout_ms, "longest delay of one I/O while joining (default lease/8)")
        ->type_name("N");
    app.add_flag("-f,--force", options.force,
                 "overwrite another file system or volume (never one with living nodes, never a mounted one)");
    app.add_option("DEVICE", options.device, "block device or image file; must exist")
        ->type_name("")
        ->required();
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        const int code = app.exit(error, out, err);
        exit_code = code == 0 ? exit_ok : exit_usage;
        return std::nullopt;
    }
    if (const std::string problem = check_texts(options, uuid, area); !problem.empty()) {
        err << "mkfs.sdlm: " << problem << "; see mkfs.sdlm --help\n";
        exit_code = exit_usage;
        return std::nullopt;
    }
    return options;
}

}  // namespace sdlm::tools::mkfs
