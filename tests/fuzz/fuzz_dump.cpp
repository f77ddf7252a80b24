// SPDX-License-Identifier: LGPL-2.1-or-later
// `sdlm dump` of a whole small image with damage. An input is a byte of switches and then patches: a byte for the
// block, two for the place in it, one for the length, the bytes.
#include <sys/mman.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "disk/format/geometry.hpp"
#include "tests/fuzz/fuzz_block.hpp"
#include "tools/common/dump.hpp"

using namespace sdlm;

namespace {

// Beside seal_switch.
constexpr unsigned json_switch = 0x02;
constexpr unsigned pages_switch = 0x04;
constexpr unsigned truncate_switch = 0x08;      // the next two bytes: what is left of the image, in blocks

constexpr std::uint32_t block_bytes = 512;
constexpr std::uint32_t slot_count = 4;

disk::Superblock make_superblock() {
    disk::Superblock superblock;
    superblock.uuid = fuzz::block_volume;
    superblock.label = "fuzz";
    superblock.geometry = {block_bytes, slot_count, limits::area_bytes_min, 0};
    superblock.geometry.volume_bytes = disk::bytes_needed(block_bytes, slot_count, limits::area_bytes_min);
    superblock.heartbeat_ms = 125;
    superblock.lease_ms = 1000;
    superblock.io_timeout_ms = 125;
    return superblock;
}

disk::LockEntry lock(const char* name) {
    disk::LockEntry entry{{"web", name}, {}};
    entry.lock.held = disk::Mode::EX;
    entry.lock.lvb.version = 3;
    entry.lock.lvb.length = 5;
    return entry;
}

class Image {
public:
    Image();
    void run(const fuzz::BlockInput& input);

private:
    struct Part {
        std::uint64_t offset = 0;
        std::size_t bytes = 0;
        std::size_t sealed_bytes = 0;
    };
    void put(std::uint64_t offset, const fuzz::Bytes& bytes) {
        std::copy(bytes.begin(), bytes.end(), good_.begin() + static_cast<std::ptrdiff_t>(offset));
    }
    void put_node(NodeIndex node);
    void write(std::uint64_t offset, std::span<const std::byte> bytes) const {
        const ssize_t n = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
        SDLM_ASSERT(n == static_cast<ssize_t>(bytes.size()));
    }
    void dump(unsigned switches);

    disk::Superblock superblock_ = make_superblock();
    const disk::Geometry& geometry_ = superblock_.geometry;
    fuzz::Bytes good_ = fuzz::Bytes(geometry_.volume_bytes);
    fuzz::Bytes written_;
    std::vector<Part> parts_;
    int fd_ = ::memfd_create("image", MFD_CLOEXEC);
};

Image::Image() {
    SDLM_ASSERT(fd_ >= 0);
    for (const std::uint64_t offset : {disk::superblock_offset, geometry_.backup_offset()}) {
        fuzz::Bytes block(disk::superblock_bytes);
        disk::encode(superblock_, offset, block);
        put(offset, block);
        parts_.push_back({offset, limits::page_bytes, disk::superblock_bytes});
    }
    for (NodeIndex node = 0; node < slot_count; ++node) put_node(node);
    write(0, good_);
    written_ = good_;
}

// Node 0: everything in the slot; 1 and 2: in the journal, too; 3: never used.
void Image::put_node(NodeIndex node) {
    const Incarnation life{std::uint64_t{node} + 1, 77};
    disk::SlotHeader header;
    header.node = node;
    std::vector<disk::Record> records;
    if (node < 3) {
        header.state = node == 2 ? disk::SlotState::left : disk::SlotState::live;
        header.incarnation = life;
        header.sequence = 9;
        records = {lock("inline"), disk::MemberEntry{"web", {}}};
        header.stream = {.epoch = 1, .complete = node == 0, .tail = 0, .head = node == 0 ? 0U : 3U, .inline_first = 5,
                         .last = 6};
        fuzz::Bytes card(limits::page_bytes);
        disk::NodeCard owner;
        owner.node = node;
        owner.incarnation = life;
        owner.node_name = "n";
        disk::encode_card(owner, superblock_.uuid, geometry_.card_offset(node), card);
        put(geometry_.card_offset(node), card);
    }
    fuzz::Bytes block(block_bytes);
    disk::encode_slot(header, static_cast<std::uint32_t>(records.size()), fuzz::encode_all(records), superblock_.uuid,
                      geometry_.slot_offset(node), block);
    put(geometry_.slot_offset(node), block);
    parts_.push_back({geometry_.slot_offset(node), block_bytes, block_bytes});
    parts_.push_back({geometry_.card_offset(node), limits::page_bytes, limits::page_bytes});
    for (std::uint64_t number = 0; number < header.stream.head; ++number) {
        const std::vector<disk::Record> in_page{lock("journal"), disk::EvictEntry{3, {{1, 2}, 3, false, true}}};
        fuzz::Bytes page(limits::page_bytes);
        const std::uint64_t offset = geometry_.page_offset(node, number);
        disk::encode_page({node, life, number}, 2, fuzz::encode_all(in_page), superblock_.uuid, offset, page);
        put(offset, page);
        parts_.push_back({offset, limits::page_bytes, limits::page_bytes});
    }
}

void Image::dump(unsigned switches) {
    const auto device = disk::BlockDevice::open("/proc/self/fd/" + std::to_string(fd_), {});
    SDLM_ASSERT(device);
    tools::DumpOptions options;
    options.json = (switches & json_switch) != 0;
    options.pages = (switches & pages_switch) != 0;
    std::ostringstream out;
    std::ostringstream err;
    const int code = tools::dump(*device, options, out, err);
    if (code == 0 && options.json) SDLM_ASSERT(nlohmann::json::parse(out.str(), nullptr, false).is_object());
    SDLM_ASSERT(code == 0 ? err.str().empty() && !out.str().empty() : !err.str().empty());
}

void Image::run(const fuzz::BlockInput& input) {
    auto left = input.bytes;
    const auto take = [&left](std::size_t count) {
        const auto part = left.first(std::min(count, left.size()));
        left = left.subspan(part.size());
        return part;
    };
    const auto number = [&take](std::size_t count) {
        std::size_t n = 0;
        for (const std::byte b : take(count)) n = n << 8U | static_cast<std::size_t>(b);
        return n;
    };
    std::uint64_t image_bytes = good_.size();
    if ((input.switches & truncate_switch) != 0) image_bytes = number(2) * block_bytes % (image_bytes + 1);

    fuzz::Bytes image = good_;
    while (!left.empty()) {
        const Part& part = parts_[number(1) % parts_.size()];
        const std::size_t at = number(2) % part.sealed_bytes;
        const auto bytes = take(std::min(number(1), part.sealed_bytes - at));
        const auto block = std::span(image).subspan(part.offset, part.sealed_bytes);
        std::copy(bytes.begin(), bytes.end(), block.begin() + static_cast<std::ptrdiff_t>(at));
        if ((input.switches & fuzz::seal_switch) != 0) disk::seal(block);
    }
    for (const Part& part : parts_) {
        const auto wanted = std::span(image).subspan(part.offset, part.bytes);
        const auto there = std::span(written_).subspan(part.offset, part.bytes);
        if (!std::ranges::equal(wanted, there)) write(part.offset, wanted);
    }
    written_ = std::move(image);
    SDLM_ASSERT(::ftruncate(fd_, static_cast<off_t>(image_bytes)) == 0);
    dump(input.switches);
    if (image_bytes == good_.size()) return;
    write(0, good_);
    written_ = good_;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static Image image;
    image.run(fuzz::BlockInput(data, size));
    return 0;
}
