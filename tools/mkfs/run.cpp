// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/mkfs/run.hpp"

#include <sys/random.h>
#include <time.h>

#include <cerrno>
#include <system_error>

#include "tools/mkfs/format.hpp"
#include "tools/mkfs/live_nodes.hpp"
#include "tools/mkfs/mounts.hpp"
#include "tools/mkfs/options.hpp"
#include "tools/mkfs/plan.hpp"
#include "tools/mkfs/signatures.hpp"
#include "tools/mkfs/volume_traces.hpp"

namespace sdlm::tools::mkfs {

namespace {

Instant boottime() {
    timespec ts{};
    clock_gettime(CLOCK_BOOTTIME, &ts);
    return {ts.tv_sec * 1'000'000'000 + ts.tv_nsec};
}

void sleep_for(Duration duration) {
    timespec left{duration.ns / 1'000'000'000, duration.ns % 1'000'000'000};
    while (clock_nanosleep(CLOCK_BOOTTIME, 0, &left, &left) == EINTR) {}
}

Uuid random_uuid() {
    Uuid uuid;
    if (getrandom(uuid.bytes.data(), uuid.bytes.size(), 0) != static_cast<ssize_t>(uuid.bytes.size()))
        throw std::system_error(errno, std::generic_category(), "getrandom");
    uuid.bytes[6] = static_cast<std::uint8_t>((uuid.bytes[6] & 0x0f) | 0x40);      // RFC 4122, version 4
    uuid.bytes[8] = static_cast<std::uint8_t>((uuid.bytes[8] & 0x3f) | 0x80);
    return uuid;
}

std::string open_problem(const Error& error) {
    if (error.code == Errc::not_found) return "there is no such device or file; mkfs.sdlm does not create one";
    if (error.code == Errc::busy)
        return "is in use by this host (mounted, swap, RAID, LVM or device mapper); release it first";
    if (error.code == Errc::bad_argument) return "is neither a block device nor a regular file";
    return "cannot be opened: " + describe(error);
}

// Everything that speaks against overwriting what is there now; empty: nothing does.
std::string contents_problem(const disk::BlockDevice& device, const VolumeTraces& traces, const Options& options,
                             std::ostream& out, const Environment& environment) {
    if (!traces.problem.empty()) return traces.problem;
    if (traces.newer)
        return "holds " + traces.description +
               ", made by a newer version, whose nodes this program cannot recognise; use that version's mkfs.sdlm";
    const SignatureReport signature = find_signature(device.path());
    if (!signature.problem.empty()) return signature.problem;
    if (!options.force) {
        const bool both = !traces.description.empty() && !signature.found.empty();
        const std::string found = traces.description + (both ? " and " : "") + signature.found;
        if (!found.empty())
            return "holds " + found + "; check the device's name, or use --force to overwrite it if nobody needs it";
    }
    return live_node_problem(device, traces, out, environment);
}

void print_summary(std::ostream& out, const disk::BlockDevice& device, const Plan& plan) {
    const disk::Superblock& superblock = plan.superblock;
    const disk::Geometry& geometry = superblock.geometry;
    out << device.path() << ": sdlm volume made\n"
        << "  uuid             " << to_string(superblock.uuid) << '\n'
        << "  label            " << (superblock.label.empty() ? "(none)" : superblock.label) << '\n'
        << "  volume size      " << bytes_text(geometry.volume_bytes) << '\n'
        << "  block size       " << geometry.block_bytes << " bytes\n"
        << "  node slots       " << geometry.slot_count << '\n'
        << "  journal          " << bytes_text(geometry.area_bytes) << " per node\n"
        << "  heartbeat        " << superblock.heartbeat_ms << " ms\n"
        << "  lease            " << superblock.lease_ms << " ms\n"
        << "  I/O time-out     " << superblock.io_timeout_ms << " ms\n"
        << "  a node is dead   after " << plan.timing.dead().ms() << " ms without a heartbeat\n"
        << "  its locks pass   within " << plan.timing.failover_bound().ms() << " ms\n";
    const std::uint64_t used = disk::bytes_needed(geometry.block_bytes, geometry.slot_count, geometry.area_bytes);
    if (used < geometry.volume_bytes) out << "  not used         " << bytes_text(geometry.volume_bytes - used) << '\n';
    if (!device.direct())
        out << "  note: this file system has no O_DIRECT; such a file is good for trials on one host only\n";
}

}  // namespace

Environment system_environment() {
    return {.now = boottime,
            .sleep = sleep_for,
            .random_uuid = random_uuid,
            .unix_time = static_cast<std::uint64_t>(time(nullptr)),
            .mountinfo_path = "/proc/self/mountinfo"};
}

int run(int argc, const char* const* argv, std::ostream& out, std::ostream& err, const Environment& environment) {
    int exit_code = exit_ok;
    const auto options = parse_options(argc, argv, out, err, exit_code);
    if (!options) return exit_code;
    const auto fail = [&](const std::string& problem, int code) {
        err << "mkfs.sdlm: " << options->device << ": " << problem << '\n';
        return code;
    };

    if (const std::string mounted = mounted_problem(options->device, environment.mountinfo_path); !mounted.empty())
        return fail(mounted, exit_failed);
    const auto device = disk::BlockDevice::open(options->device, {.writable = true, .exclusive = true});
    if (!device) return fail(open_problem(device.error()), exit_failed);

    Plan plan = make_plan(*options, {device->bytes(), device->logical_block_bytes()});
    if (!plan.problem.empty()) return fail(plan.problem, plan.usage ? exit_usage : exit_failed);
    plan.superblock.uuid = options->uuid ? *options->uuid : environment.random_uuid();
    plan.superblock.created_unix = environment.unix_time;

    const VolumeTraces traces = find_volume(*device);
    if (const auto problem = contents_problem(*device, traces, *options, out, environment); !problem.empty())
        return fail(problem, exit_failed);
    for (const std::string& note : plan.notes) out << "note: " << note << '\n';

    if (const std::string problem = wipe_signatures(options->device); !problem.empty())
        return fail(problem, exit_failed);
    if (const auto problem = write_volume(*device, plan.superblock, traces.copies); !problem.empty())
        return fail(problem, exit_failed);
    print_summary(out, *device, plan);
    return out.flush() ? exit_ok : exit_failed;
}

}  // namespace sdlm::tools::mkfs
