/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Prints what a program is built with; compiled against our header and, where it is installed, against Debian's. */
#define _REENTRANT
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>
#include LIBDLM_HEADER

#define VALUE(name) printf(#name " %lld\n", (long long)(name))
#define FIELD(name) \
    printf("dlm_lksb." #name " %zu %zu\n", offsetof(struct dlm_lksb, name), sizeof(((struct dlm_lksb*)0)->name))

int main(void) {
    printf("dlm_lksb %zu\n", sizeof(struct dlm_lksb));
    FIELD(sb_status);
    FIELD(sb_lkid);
    FIELD(sb_flags);
    FIELD(sb_lvbptr);
    printf("dlm_lshandle_t %zu\n", sizeof(dlm_lshandle_t));
    VALUE(DLM_LVB_LEN);
    VALUE(DLM_LOCKSPACE_LEN);
    VALUE(DLM_RESNAME_MAXLEN);
    VALUE(DLM_SBF_DEMOTED);
    VALUE(DLM_SBF_VALNOTVALID);
    VALUE(DLM_SBF_ALTMODE);
    VALUE(DLM_LSFL_TIMEWARN);
    VALUE(DLM_LSFL_FS);
    VALUE(DLM_LSFL_NEWEXCL);
    VALUE(LKM_NLMODE);
    VALUE(LKM_CRMODE);
    VALUE(LKM_CWMODE);
    VALUE(LKM_PRMODE);
    VALUE(LKM_PWMODE);
    VALUE(LKM_EXMODE);
    VALUE(LKF_NOQUEUE);
    VALUE(LKF_CANCEL);
    VALUE(LKF_CONVERT);
    VALUE(LKF_VALBLK);
    VALUE(LKF_QUECVT);
    VALUE(LKF_IVVALBLK);
    VALUE(LKF_CONVDEADLK);
    VALUE(LKF_PERSISTENT);
    VALUE(LKF_NODLCKWT);
    VALUE(LKF_NODLCKBLK);
    VALUE(LKF_EXPEDITE);
    VALUE(LKF_NOQUEUEBAST);
    VALUE(LKF_HEADQUE);
    VALUE(LKF_NOORDER);
    VALUE(LKF_ORPHAN);
    VALUE(LKF_ALTPR);
    VALUE(LKF_ALTCW);
    VALUE(LKF_FORCEUNLOCK);
    VALUE(LKF_TIMEOUT);
    VALUE(LKF_WAIT);
    VALUE(ECANCEL);
    VALUE(EUNLOCK);
    VALUE(EINPROG);
    return 0;
}
