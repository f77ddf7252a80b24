// SPDX-License-Identifier: LGPL-2.1-or-later
// A program that uses libo2dlm as its input says: one command a line, one answer a line. Built on our library and,
// where it can be had, on the original one. See commands[] at the end.
#include <errno.h>
#include <o2dlm/o2dlm.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { context_count = 4, lock_count = 16 };

struct BastLock {
    int context, fd;
    char name[64];
    int calls;
    int unlock_in_call;
};

static struct o2dlm_ctxt *contexts[context_count];
static struct BastLock bast_locks[lock_count];
static int bast_lock_count;

static const char *name_of(errcode_t code)
{
#define NAME(x) \
    if (code == O2DLM_ET_##x) return #x;
    NAME(NO_MEMORY) NAME(SERVICE_UNAVAILABLE) NAME(INVALID_LOCK_NAME) NAME(INVALID_LOCK_LEVEL) NAME(INTERNAL_FAILURE)
    NAME(NAME_TOO_LONG) NAME(STATFS) NAME(NO_FS_DIR) NAME(NO_FS) NAME(OPEN_DLM_DIR) NAME(NO_DOMAIN_DIR)
    NAME(BAD_DOMAIN_DIR) NAME(BUSY_DOMAIN_DIR) NAME(DOMAIN_DIR) NAME(DOMAIN_DESTROY) NAME(DOMAIN_CREATE) NAME(RANDOM)
    NAME(BUSY_LOCK) NAME(OUTPUT_ERROR) NAME(UNLINK) NAME(UNKNOWN_LOCK) NAME(RECURSIVE_LOCK) NAME(LOCKING)
    NAME(FAILED_UNLOCKS) NAME(INVALID_ARGS) NAME(TRYLOCK_FAILED) NAME(LVB_READ) NAME(LVB_WRITE) NAME(SEEK)
    NAME(DOMAIN_BUSY) NAME(BAST_UNSUPPORTED) NAME(LVB_INVALID)
#undef NAME
    static char text[32];
    snprintf(text, sizeof text, code == 0 ? "ok" : "%ld", (long)code);
    return text;
}

static void on_bast(void *argument)
{
    struct BastLock *lock = argument;
    ++lock->calls;
    if (!lock->unlock_in_call) return;
    printf("unlock in call: %s; ", name_of(o2dlm_unlock(contexts[lock->context], lock->name)));
}

static const char *text_of(const char *word)    // "-" for a null pointer, "''" for the empty text
{
    if (strcmp(word, "-") == 0) return NULL;
    return strcmp(word, "''") == 0 ? "" : word;
}

static enum o2dlm_lock_level level_of(const char *word)
{
    return strcmp(word, "PR") == 0 ? O2DLM_LEVEL_PRMODE : strcmp(word, "EX") == 0 ? O2DLM_LEVEL_EXMODE : 7;
}

static void do_init(struct o2dlm_ctxt **context, char **words)
{
    printf("%s\n", name_of(o2dlm_initialize(text_of(words[0]), text_of(words[1]), context)));
}

static void do_lock(struct o2dlm_ctxt **context, char **words)
{
    printf("%s\n", name_of(o2dlm_lock(*context, text_of(words[0]), atoi(words[2]), level_of(words[1]))));
}

static void do_bast_lock(struct o2dlm_ctxt **context, char **words)
{
    struct BastLock *lock = &bast_locks[bast_lock_count % lock_count];
    memset(lock, 0, sizeof *lock);
    lock->context = (int)(context - contexts);
    lock->fd = -1;
    lock->unlock_in_call = strcmp(words[3], "unlock") == 0;
    if (text_of(words[0]) != NULL) snprintf(lock->name, sizeof lock->name, "%s", text_of(words[0]));
    const errcode_t code = o2dlm_lock_with_bast(*context, text_of(words[0]), atoi(words[2]), level_of(words[1]),
                                                strcmp(words[3], "nofunc") == 0 ? NULL : on_bast, lock,
                                                strcmp(words[3], "nofd") == 0 ? NULL : &lock->fd);
    if (code == 0) ++bast_lock_count;
    printf("%s%s\n", name_of(code), code == 0 && strcmp(words[3], "nofd") != 0 && lock->fd < 0 ? " without fd" : "");
}

// Of the last bast_lock with that name: waits until its fd is readable, at most so many ms, and delivers.
static void do_bast(struct o2dlm_ctxt **context, char **words)
{
    struct BastLock *lock = NULL;
    for (int i = 0; i < bast_lock_count && i < lock_count; ++i)
        if (strcmp(bast_locks[i].name, words[0]) == 0) lock = &bast_locks[i];
    if (lock == NULL) {
        printf("no such lock\n");
        return;
    }
    struct pollfd fd = {.fd = lock->fd, .events = POLLIN, .revents = 0};
    const int ready = poll(&fd, 1, atoi(words[1]));
    if (ready > 0) o2dlm_process_bast(*context, lock->fd);
    printf("%s %d\n", ready > 0 && (fd.revents & POLLIN) != 0 ? "readable" : "quiet", lock->calls);
}

static void do_stray_bast(struct o2dlm_ctxt **context, char **words)
{
    o2dlm_process_bast(*context, atoi(words[0]));
    printf("ok\n");
}

static void do_unlock(struct o2dlm_ctxt **context, char **words)
{
    printf("%s\n", name_of(o2dlm_unlock(*context, text_of(words[0]))));
}

static void do_drop(struct o2dlm_ctxt **context, char **words)
{
    printf("%s\n", name_of(o2dlm_drop_lock(*context, text_of(words[0]))));
}

static void do_read(struct o2dlm_ctxt **context, char **words)
{
    char value[128];
    memset(value, '#', sizeof value);
    char name[64];
    snprintf(name, sizeof name, "%s", words[0]);
    unsigned int bytes = 777;
    unsigned int *count = strcmp(words[2], "nocount") == 0 ? NULL : &bytes;
    char *buffer = strcmp(words[2], "nobuffer") == 0 ? NULL : value;
    const errcode_t code = o2dlm_read_lvb(*context, text_of(name) == NULL ? NULL : name, buffer,
                                          (unsigned)atoi(words[1]), count);
    printf("%s %u ", name_of(code), bytes);
    for (int i = 0; i < 80 && value[i] != '#'; ++i) putchar(value[i] == 0 ? '.' : value[i]);
    printf("\n");
}

static void do_write(struct o2dlm_ctxt **context, char **words)
{
    char name[64];
    snprintf(name, sizeof name, "%s", words[0]);
    unsigned int bytes = 777;
    const char *value = text_of(words[1]);
    const errcode_t code = o2dlm_write_lvb(*context, text_of(name) == NULL ? NULL : name, value,
                                           value == NULL ? 1 : (unsigned)strlen(value),
                                           strcmp(words[2], "nocount") == 0 ? NULL : &bytes);
    printf("%s %u\n", name_of(code), bytes);
}

static void do_destroy(struct o2dlm_ctxt **context, char **words)
{
    (void)words;
    printf("%s\n", name_of(o2dlm_destroy(*context)));
    *context = NULL;
}

static void do_forget(struct o2dlm_ctxt **context, char **words)
{
    (void)words;
    *context = NULL;
    printf("ok\n");
}

static void do_supports(struct o2dlm_ctxt **context, char **words)
{
    (void)context;
    int bast = 77, stackglue = 77;
    const int null = strcmp(words[0], "null") == 0;
    printf("%s ", name_of(o2dlm_supports_bast(null ? NULL : &bast)));
    printf("%s ", name_of(o2dlm_supports_stackglue(null ? NULL : &stackglue)));
    printf("%d %d\n", bast, stackglue);
}

static void do_fds(struct o2dlm_ctxt **context, char **words)    // how many descriptors are open
{
    (void)context;
    (void)words;
    int count = 0;
    for (int fd = 0; fd < 256; ++fd) count += fcntl(fd, F_GETFD) >= 0;
    printf("%d\n", count);
}

static void on_signal(int number)
{
    (void)number;
    if (write(STDOUT_FILENO, "signal\n", 7) != 7) abort();
}

static void do_signals(struct o2dlm_ctxt **context, char **words)
{
    (void)context;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = strcmp(words[0], "restart") == 0 ? SA_RESTART : 0;
    printf("%d\n", sigaction(SIGUSR1, &action, NULL));
}

static void do_constants(struct o2dlm_ctxt **context, char **words)
{
    (void)context;
    (void)words;
    printf("%d %d %d %d %d %d %d %ld %ld %ld %d\n", O2DLM_LOCK_ID_MAX_LEN, O2DLM_DOMAIN_MAX_LEN,
           O2DLM_MAX_FULL_DOMAIN_PATH, O2DLM_TRYLOCK, O2DLM_VALID_FLAGS, O2DLM_LEVEL_PRMODE, O2DLM_LEVEL_EXMODE, (long)ERROR_TABLE_BASE_o2dl,
           (long)O2DLM_ET_NO_MEMORY, (long)O2DLM_ET_LVB_INVALID, (int)sizeof(errcode_t));
}

static const struct {
    const char *name;
    void (*function)(struct o2dlm_ctxt **context, char **words);
} commands[] = {
    {"init", do_init},       // PATH DOMAIN
    {"lock", do_lock},       // NAME LEVEL FLAGS
    {"bast_lock", do_bast_lock},    // NAME LEVEL FLAGS [unlock|nofunc|nofd]
    {"bast", do_bast},       // NAME MS
    {"stray_bast", do_stray_bast},  // FD
    {"unlock", do_unlock},   // NAME
    {"drop", do_drop},       // NAME
    {"read", do_read},       // NAME BYTES [nocount|nobuffer]
    {"write", do_write},     // NAME TEXT [nocount]
    {"destroy", do_destroy},
    {"forget", do_forget},
    {"supports", do_supports},      // [null]
    {"fds", do_fds},
    {"signals", do_signals},        // restart|interrupt
    {"constants", do_constants},
};

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    char line[8192];
    while (fgets(line, sizeof line, stdin) != NULL) {    // CONTEXT COMMAND WORDS...
        char *words[8] = {"", "", "", "", "", "", "", ""};
        int count = 0;
        for (char *word = strtok(line, " \n"); word != NULL && count < 8; word = strtok(NULL, " \n"))
            words[count++] = word;
        if (count < 2) continue;
        size_t i = 0;
        while (i < sizeof commands / sizeof commands[0] && strcmp(commands[i].name, words[1]) != 0) ++i;
        if (i == sizeof commands / sizeof commands[0]) {
            printf("no such command\n");
            continue;
        }
        commands[i].function(&contexts[atoi(words[0]) % context_count], words + 2);
    }
    return 0;
}
