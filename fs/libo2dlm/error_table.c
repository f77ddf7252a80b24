// SPDX-License-Identifier: LGPL-2.1-or-later
// The texts of the errors for com_err, which is not needed: a program that is linked with it gets them into its table.
#include <stdlib.h>

#include "fs/libo2dlm/o2dlm_api.h"

struct et_list {        // com_err's
    struct et_list *next;
    const struct error_table *table;
};

// Null in a program without com_err.
extern errcode_t add_error_table(const struct error_table *table) __attribute__((weak));

#define TEXT(code) [(O2DLM_ET_##code) - ERROR_TABLE_BASE_o2dl]

enum { text_count = O2DLM_ET_LVB_INVALID - ERROR_TABLE_BASE_o2dl + 1 };

static const char *const texts[] = {
    TEXT(NO_MEMORY) = "No memory",
    TEXT(SERVICE_UNAVAILABLE) = "Not available with this kind of domain",
    TEXT(INVALID_LOCK_NAME) = "Lock name is not valid",
    TEXT(INVALID_LOCK_LEVEL) = "Lock level is not valid",
    TEXT(INTERNAL_FAILURE) = "Unexpected failure of the lock manager",
    TEXT(NAME_TOO_LONG) = "Name is too long",
    TEXT(STATFS) = "Cannot find out the type of the file system",
    TEXT(NO_FS_DIR) = "The path of the dlmfs is not a directory",
    TEXT(NO_FS) = "No dlmfs is mounted at the path",
    TEXT(OPEN_DLM_DIR) = "Cannot open the directory of the dlmfs",
    TEXT(NO_DOMAIN_DIR) = "The domain does not exist",
    TEXT(BAD_DOMAIN_DIR) = "No permission for the domain",
    TEXT(BUSY_DOMAIN_DIR) = "The domain is in use",
    TEXT(DOMAIN_DIR) = "Cannot read the domain",
    TEXT(DOMAIN_DESTROY) = "Cannot remove the domain",
    TEXT(DOMAIN_CREATE) = "Cannot create the domain",
    TEXT(RANDOM) = "No random numbers",
    TEXT(BUSY_LOCK) = "The lock is in use",
    TEXT(OUTPUT_ERROR) = "Cannot write",
    TEXT(UNLINK) = "Cannot remove the lock",
    TEXT(UNKNOWN_LOCK) = "The lock is not known",
    TEXT(RECURSIVE_LOCK) = "The lock is held by this context already",
    TEXT(LOCKING) = "The lock was not granted",
    TEXT(FAILED_UNLOCKS) = "Not all locks were unlocked",
    TEXT(INVALID_ARGS) = "Arguments are not valid",
    TEXT(TRYLOCK_FAILED) = "Trylock failed",
    TEXT(LVB_READ) = "Cannot read the LVB",
    TEXT(LVB_WRITE) = "Cannot write the LVB",
    TEXT(SEEK) = "Cannot seek in the LVB",
    TEXT(DOMAIN_BUSY) = "The domain exists already",
    TEXT(BAST_UNSUPPORTED) = "BASTs are not supported",
    TEXT(LVB_INVALID) = "LVB is not valid",
    [text_count] = NULL,
};
const struct error_table et_o2dl_error_table = {texts, ERROR_TABLE_BASE_o2dl, text_count};

void initialize_o2dl_error_table(void)
{
    static int added;
    if (add_error_table != NULL && __atomic_exchange_n(&added, 1, __ATOMIC_ACQ_REL) == 0)
        add_error_table(&et_o2dl_error_table);
}

void initialize_o2dl_error_table_r(struct et_list **list)
{
    struct et_list **end = list;
    for (; *end != NULL; end = &(*end)->next)
        if ((*end)->table->base == ERROR_TABLE_BASE_o2dl) return;
    struct et_list *entry = malloc(sizeof *entry);
    if (entry == NULL) return;
    entry->next = NULL;
    entry->table = &et_o2dl_error_table;
    *end = entry;
}
