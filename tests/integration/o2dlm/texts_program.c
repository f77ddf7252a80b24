// SPDX-License-Identifier: LGPL-2.1-or-later
// The error table, in a program with (WITH_TABLE) and without a function of com_err's name. 0 if all is well.
#include <o2dlm/o2dlm.h>
#include <stdio.h>
#include <string.h>

struct et_list {        // com_err's, which its header does not show
    struct et_list *next;
    const struct error_table *table;
};

static int added;
#ifdef WITH_TABLE
errcode_t add_error_table(const struct error_table *table);
errcode_t add_error_table(const struct error_table *table)
{
    added += table == &et_o2dl_error_table ? 1 : 100;
    return 0;
}
#endif

int main(void)
{
    initialize_o2dl_error_table();
    init_o2dl_err_tbl();
#ifdef WITH_TABLE
    if (added != 1) return printf("added %d times\n", added), 1;
#else
    if (added != 0) return 1;
#endif
    const struct error_table *table = &et_o2dl_error_table;
    if (table->base != o2dl_err_base || table->n_msgs != 32) return printf("table\n"), 2;
    for (int i = 0; i < table->n_msgs; ++i)
        if (table->msgs[i] == NULL || table->msgs[i][0] == 0) return printf("text %d\n", i), 3;
    if (strcmp(table->msgs[O2DLM_ET_LVB_INVALID - o2dl_err_base], "LVB is not valid") != 0) return 4;
    if (strcmp(table->msgs[O2DLM_ET_TRYLOCK_FAILED - o2dl_err_base], "Trylock failed") != 0) return 5;
    struct et_list *list = NULL;
    initialize_o2dl_error_table_r(&list);
    initialize_o2dl_error_table_r(&list);
    if (list == NULL || list->table != table || list->next != NULL) return printf("list\n"), 6;
    free(list);
    return 0;
}
