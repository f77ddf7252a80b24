/* SPDX-License-Identifier: LGPL-2.1-or-later
 * One resource between N nodes, as locks/core/arbitration.cpp decides it: single-writer registers (the nodes' durable
 * records), each read on its own; tickets; conversions before new requests; cached modes; trylocks and their answers.
 * A node reads all registers ("collect") after its last own write is complete, and decides on that collect only.
 *
 * -DN nodes, -DK rounds of each, -DMAXCRASH crashes while holding, -DTRYLOCKS=0 / -DCONVERT=0 / -DPOLL=0 (no collect
 * while in use) / -DEXONLY=1 (no shared mode) to leave a part out.
 * -DBUG=1..5 plants a bug that the check must find. Checked: no two nodes use conflicting modes; a trylock is refused only
 * when, during it, the lock was in use or waited for; no deadlock; no livelock (progress labels). see README.md
 */
#ifndef N
#define N 2
#endif
#ifndef K
#define K 2
#endif
#ifndef MAXCRASH
#define MAXCRASH 1
#endif
#ifndef TRYLOCKS
#define TRYLOCKS 1
#endif
#ifndef CONVERT
#define CONVERT 1
#endif
#ifndef EXONLY
#define EXONLY 0
#endif
#ifndef POLL
#define POLL 1
#endif
#ifndef BUG
#define BUG 0
#endif

#define NONE 0
#define TRY 1
#define WAIT 2
#define PR 1
#define EX 2
#define INC(a, b) (((a) == EX && (b) > 0) || ((b) == EX && (a) > 0))
/* the want of register j comes before my own (convert, ticket, node); one without a place comes last */
#define BEFORE(j) (t == 0 || (r[j].cv != cv -> r[j].cv : (r[j].t != t -> r[j].t < t : j < me)))

typedef Reg { byte h; byte w; byte ph; byte t; byte an; bit nq; bit cv }
Reg r[N];               /* what lies on the disk */
byte use[N];            /* what local clients use: the truth that I1 is about */
bit dead[N];            /* crashed, and its lease is over */
byte crashes;
byte want_of[N];        /* ghost: the undecided want */
bit try_of[N];          /* ghost: ... is a trylock */
bit excuse[N];          /* ghost: in use or waited for by another, since the try began */

/* `mode` is used or queued for by `me` from now on: reason enough to refuse the tries that are under way. */
inline excuse_tries(mode) {
  i = 0;
  do
  :: i < N -> if :: i != me && try_of[i] && INC(want_of[i], mode) -> excuse[i] = 1 :: else fi; i++
  :: else -> break
  od; i = 0
}

inline read_register() {
  d_step {
    if
    :: j != me && !dead[j] && !(BUG == 2 && j == 0) ->
       if :: r[j].t > mt -> mt = r[j].t :: else fi;
       if :: r[j].an > mt -> mt = r[j].an :: else fi;
       if :: r[j].ph != NONE && INC(r[j].w, held) -> against = 1 :: else fi;
       if :: r[j].ph != NONE -> wanted = 1 :: else fi;
       if :: r[j].ph != NONE && r[j].nq && INC(r[j].w, use[me]) && r[j].t > nqt -> nqt = r[j].t :: else fi;
       if
       :: want != 0 && INC(r[j].h, want) ->
          held_conflict = 1;
          if :: t != 0 && r[j].an >= t -> held_answered = 1 :: else fi;
          if :: cv && r[j].cv && r[j].ph != NONE && BEFORE(j) && INC(held, r[j].w) -> deadlock = 1 :: else fi
       :: else
       fi;
       if
       :: want != 0 && r[j].ph == TRY && INC(r[j].w, want) ->
          if :: BEFORE(j) -> try_low = 1 :: else -> try_high = 1 fi
       :: want != 0 && r[j].ph == WAIT && INC(r[j].w, want) && BEFORE(j) ->
          wait_low = 1;
          if :: !r[j].nq -> wait_low_queued = 1 :: else fi
       :: want != 0 && r[j].ph == WAIT && INC(r[j].w, want) && !BEFORE(j) -> wait_high = 1
       :: else
       fi
    :: else
    fi;
    j++
  }
}

proctype node(byte me) {
  byte held, want, phase, t, an, rounds, mt, nqt, i, j;
  bit nq, cv, polled, converted, changed, moved, deadlock;
  bit against, wanted, held_conflict, held_answered, try_low, try_high, wait_low, wait_low_queued, wait_high, placed;

collect:
  do
  :: j < N -> read_register()
  :: else -> break
  od;

  atomic {
    j = 0;
    /* what is idle is given up to whoever wants it; what is in use is published, so that others can tell */
    if
    :: against && held != use[me] && BUG != 3 -> held = use[me]; changed = 1
    :: against && held == use[me] && (r[me].h != held || (phase == NONE && r[me].ph != NONE)) -> changed = 1
    :: !against && wanted && phase == NONE && r[me].ph == TRY -> changed = 1
    :: else
    fi;
    if :: nqt > an && use[me] != 0 -> an = nqt; changed = 1 :: else fi;

    if
    :: want == 0 -> goto decided
    :: want != 0 && phase == NONE && held >= want -> goto granted            /* cached: no I/O */
    :: want != 0 && phase == NONE && held < want ->
       t = (mt > an -> mt : an) + 1; assert(t < 200);
       phase = (try_low || wait_low || try_high -> WAIT : TRY);
       changed = 1; placed = 0;
       if :: BUG == 1 && phase == TRY && !held_conflict -> goto granted :: else -> goto decided fi
    :: want != 0 && phase != NONE && deadlock -> goto refused
    :: want != 0 && phase != NONE && !deadlock && nq && (held_answered || wait_low_queued || (BUG == 4 && held_conflict)) ->
       assert(excuse[me]);
       goto refused
    :: else
    fi;
    /* the first collect after the flag: whoever was in the line before must not be overtaken by a ticket chosen too early */
    if
    :: !placed && !nq && (wait_high || (try_high && held_conflict)) ->
       placed = 1; t = (mt > t -> mt : t) + 1; phase = WAIT; changed = 1; goto decided
    :: else -> placed = 1
    fi;
    if
    :: phase == WAIT && !(try_low || wait_low || try_high) -> phase = TRY; changed = 1; goto decided
    :: phase == TRY && (try_low || wait_low) -> phase = WAIT; changed = 1; goto decided
    :: phase == TRY && !(try_low || wait_low || try_high || held_conflict) -> goto granted
    :: BUG == 5 && phase == TRY && !(try_low || wait_low || held_conflict) && try_high -> goto granted
    :: else -> goto decided
    fi;
refused:
    moved = 1;
    placed = 0; phase = NONE; t = 0; want = 0; want_of[me] = 0; try_of[me] = 0; changed = 1;
    goto decided;
granted:
    moved = 1;
    use[me] = want; want_of[me] = 0; try_of[me] = 0; want = 0;
    if :: held < use[me] -> held = use[me] :: else fi;
    phase = NONE; placed = 0; t = 0; polled = 0;
    do
    :: i < N -> assert(i == me || !INC(use[i], use[me])); i++
    :: else -> break
    od;
    i = 0;
    excuse_tries(use[me]);
    /* publication of the grant may ride with any later write, unless somebody waits */
    if
    :: wanted -> changed = 1
    :: !wanted
    :: !wanted -> changed = 1
    fi
  }
decided:
  atomic { j = 0; mt = 0; nqt = 0; against = 0; wanted = 0; held_conflict = 0; held_answered = 0; try_low = 0; try_high = 0;
           wait_low = 0; wait_low_queued = 0; wait_high = 0; deadlock = 0;
#ifndef LIVELOCK
           moved = 0
#endif
  }
#ifdef LIVELOCK
  if
  :: moved -> progress: moved = 0                    /* a label inside of atomic would not be seen */
  :: else
  fi;
#endif
  if
  :: atomic { changed -> changed = 0; r[me].h = held; r[me].ph = phase;
       if :: phase != NONE -> r[me].w = want; r[me].t = t; r[me].nq = nq; r[me].cv = cv
          :: else -> r[me].w = 0; r[me].t = 0; r[me].nq = 0; r[me].cv = 0 fi;
       if :: use[me] == 0 -> an = 0 :: else fi; r[me].an = an; goto clients }
  :: atomic { !changed -> goto clients }
  fi;

clients:
  if
  :: want != 0 -> goto collect
  :: atomic { want == 0 && use[me] == 0 && rounds < K ->
       rounds++; polled = 0; converted = 0; cv = 0;
       if :: !EXONLY -> want = PR :: want = EX fi;
       if :: nq = 0 :: TRYLOCKS -> nq = 1 fi }
     goto ask
  :: atomic { want == 0 && use[me] == 0 && rounds == K -> r[me].h = 0; r[me].ph = NONE; r[me].w = 0; r[me].t = 0; r[me].an = 0;
       r[me].nq = 0; r[me].cv = 0; goto end }
  :: atomic { want == 0 && use[me] != 0 && crashes < MAXCRASH -> crashes++; use[me] = 0; dead[me] = 1; goto end }
  :: atomic { POLL && want == 0 && use[me] != 0 && !polled -> polled = 1; goto collect }
  :: atomic { CONVERT && want == 0 && use[me] == PR && !converted -> converted = 1; want = EX; cv = 1; nq = 0 }
     goto ask
  :: atomic { want == 0 && use[me] != 0 -> use[me] = 0;
       if
       :: skip                                             /* the mode stays, cached */
       :: held = 0; changed = 1
       fi; goto decided }
  fi;
ask:
  atomic {
    t = 0;
    want_of[me] = want; try_of[me] = nq; excuse[me] = 0;
    do
    :: i < N ->
       /* ... or a want that was refused already, but still stands on the disk */
       if :: i != me && (INC(use[i], want) || (want_of[i] != 0 && !try_of[i] && INC(want_of[i], want)) ||
                         (r[i].ph == WAIT && !r[i].nq && INC(r[i].w, want))) -> excuse[me] = 1
       :: else fi; i++
    :: else -> break
    od;
    i = 0;
    if :: !nq -> excuse_tries(want) :: else fi
  }
  goto collect;
end: skip
}

init { atomic { byte n = 0; do :: n < N -> run node(n); n++ :: else -> break od } }
