/* SPDX-License-Identifier: LGPL-2.1-or-later
 * One resource between N nodes, as locks/core/arbitration.cpp decides it: single-writer registers (the nodes' durable
 * records), each read on its own into a replica; wants that take their place in the line at the first fresh view
 * (provisional tickets); conversions before new requests; cached modes; trylocks and their answers; withdrawn wants.
 * Decisions are made on the replica, at any time; grants and places only on one that was read after the flag was written.
 *
 * -DN nodes, -DK rounds of each, -DMAXCRASH crashes while holding or wanting, -DMAXWITHDRAW withdrawn wants, -DTRYLOCKS=0 /
 * -DCONVERT=0 / -DPOLL=0 (no read while nothing is wanted) / -DEXONLY=1 (no shared mode) to leave a part out; -DCONVONLY=1
 * starts with all nodes using PR and every want a conversion; -DORDER=1 also checks that nobody is overtaken. -DBUG=n plants a
 * bug that the check must find. see README.md
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
#ifndef MAXWITHDRAW
#define MAXWITHDRAW 0
#endif
#ifndef TRYLOCKS
#define TRYLOCKS 1
#endif
#ifndef CONVERT
#define CONVERT 1
#endif
#ifndef CONVONLY
#define CONVONLY 0
#endif
#ifndef EXONLY
#define EXONLY 0
#endif
#ifndef POLL
#define POLL 1
#endif
#ifndef ORDER
#define ORDER 0
#endif
#ifndef BUG
#define BUG 0
#endif

#define NONE 0
#define TRY 1
#define WAIT 2
#define PR 1
#define EX 2
#define PROV 99         /* the ticket of a want without a place: behind all that have one */
#define INC(a, b) (((a) == EX && (b) > 0) || ((b) == EX && (a) > 0))
/* the want of replica j comes before my own: LocksCore::before */
#define BEFORE(j) (p[j].cv != cv -> p[j].cv : (p[j].t != t -> p[j].t < t : j < me))

typedef Reg { byte h; byte w; byte ph; byte t; byte an; bit nq; bit cv }
Reg r[N];               /* what lies on the disk */
byte use[N];            /* what local clients use: the truth that I1 is about */
bit dead[N];            /* crashed, and its lease is over: known to all (membership.pml has the way there) */
byte crashes, withdrawn;
byte want_of[N];        /* ghost: the undecided want */
bit try_of[N];          /* ghost: ... is a trylock */
bit conv_of[N];         /* ghost: ... is a conversion */
bit excuse[N];          /* ghost: in use or waited for by another, since the try began */
#if ORDER
byte passed[N];         /* ghost: whose wants had a place on the disk when this want was made */
bit in_line[N];         /* ghost: the present want is no try and has a place on the disk */
#endif

/* scan() fills these; used within one atomic step only, zero outside of it */
byte mt, nqt, i, keep;
bit against, wanted, want_ex, held_conflict, held_answered, try_low, try_high, wait_low, wait_low_queued, deadlock, unplaced, going_on;

/* `mode` is used or queued for by `me` from now on: reason enough to refuse the tries that are under way. */
inline excuse_tries(mode) {
  i = 0;
  do
  :: i < N -> if :: i != me && try_of[i] && INC(want_of[i], mode) -> excuse[i] = 1 :: else fi; i++
  :: else -> break
  od; i = 0
}

inline clear_scan() {
  d_step {
    mt = 0; nqt = 0; against = 0; wanted = 0; want_ex = 0; held_conflict = 0; held_answered = 0; try_low = 0; try_high = 0;
    wait_low = 0; wait_low_queued = 0; deadlock = 0; unplaced = 0; i = 0; keep = 0
  }
}

inline scan() {
  clear_scan();
  d_step {
    if :: placed && phase != NONE -> mt = t :: else fi;
    if :: an > mt -> mt = an :: else fi;
    i = 0;
    do
    :: i == N -> break
    :: i < N && (i == me || dead[i]) -> i++
    :: i < N && i != me && !dead[i] ->
       if :: p[i].t != PROV && p[i].t > mt -> mt = p[i].t :: else fi;
       if :: p[i].an > mt -> mt = p[i].an :: else fi;
       if
       :: p[i].ph != NONE ->
          wanted = 1;
          if :: p[i].w == EX -> want_ex = 1 :: else fi;
          if :: INC(p[i].w, held) -> against = 1 :: else fi;
          if :: p[i].nq && INC(p[i].w, use[me]) && p[i].t > nqt -> nqt = p[i].t :: else fi
       :: else
       fi;
       if
       :: want != 0 ->
          if
          :: INC(p[i].h, want) ->
             held_conflict = 1;
             if :: t != 0 && p[i].an >= t -> held_answered = 1 :: else fi;
             if :: phase != NONE && cv && p[i].cv && (BUG == 8 || (!nq && !p[i].nq)) && BEFORE(i) && INC(p[i].w, use[me]) -> deadlock = 1 :: else fi
          :: else
          fi;
          if
          /* ... or it cannot be granted before what is used here is given up: it is in nobody's way */
          :: p[i].ph == NONE || !INC(p[i].w, want) || INC(p[i].w, use[me])
          :: p[i].ph == TRY && INC(p[i].w, want) && !INC(p[i].w, use[me]) -> if :: t == 0 || BEFORE(i) -> try_low = 1 :: else -> try_high = 1 fi
          :: p[i].ph == WAIT && INC(p[i].w, want) && !INC(p[i].w, use[me]) && (t == 0 || BEFORE(i)) ->
             wait_low = 1;
             if :: !p[i].nq -> wait_low_queued = 1 :: else fi
          :: p[i].ph == WAIT && INC(p[i].w, want) && !INC(p[i].w, use[me]) && !(t == 0 || BEFORE(i))
          fi;
          if :: p[i].ph != NONE && p[i].t == PROV && INC(p[i].w, want) && (after & (1 << i)) -> unplaced = 1 :: else fi
       :: else
       fi;
       i++
    od; i = 0
  }
}

/* whoever has a place in the line on the disk is not overtaken by a want that is made now */
inline remember_line() {
#if ORDER
  d_step { i = 0; passed[me] = 0;
    do
    :: i == N -> break
    :: i < N ->
       if :: i != me && !dead[i] && in_line[i] && INC(r[i].w, want) && (r[i].cv || !cv) ->
             passed[me] = passed[me] | (1 << i); printf("node %d asks behind %d: %d\n", me, i, want_of[i])
          :: else fi; i++
    od; i = 0 }
#else
  skip
#endif
}
inline note_place() {
#if ORDER
  in_line[me] = (phase != NONE && placed && !nq)
#else
  skip
#endif
}
inline want_over() {
#if ORDER
  d_step { i = 0; passed[me] = 0; in_line[me] = 0;
    do :: i < N -> passed[i] = passed[i] & (255 - (1 << me)); i++ :: else -> break od; i = 0 }
#else
  skip
#endif
}

/* one register; j goes over the own one without a step */
inline read_next() {
  d_step {
    if :: j == me -> j++ :: else fi;
    if
    :: j < N && !(BUG == 2 && j == 0) ->
       p[j].h = r[j].h; p[j].w = r[j].w; p[j].ph = r[j].ph; p[j].t = r[j].t; p[j].an = r[j].an; p[j].nq = r[j].nq; p[j].cv = r[j].cv;
       printf("node %d reads %d: held %d, phase %d for %d, ticket %d, convert %d\n", me, j, p[j].h, p[j].ph, p[j].w, p[j].t, p[j].cv)
    :: else
    fi;
    j++;
    if :: j == me -> j++ :: else fi
  }
}

inline remember_unplaced() {
  d_step { after = 0; i = 0;
    do
    :: i == N -> break
    :: i < N -> if :: i != me && !dead[i] && p[i].ph != NONE && p[i].t == PROV -> after = after | (1 << i) :: else fi; i++
    od; i = 0 }
}

proctype node(byte me) {
  Reg p[N];             /* replica */
  byte held, want, phase, t, an, rounds, j, after;
  bit nq, cv, polled, converted, changed, moved, placed, flag, fresh, gave_up;

#if CONVONLY
  atomic { held = PR; rounds = K;
           do :: j < N -> p[j].h = PR; j++ :: else -> break od; j = 0 }
#endif
  goto clients;

sweep:
  do
  :: j < N -> read_next()
  :: atomic { j >= N -> j = 0; fresh = flag; goto evaluate }
  od;

evaluate:
  atomic {
    scan();
    /* give_up: what is idle goes down to what conflicts with no want; what is in use is published, so that others can tell */
    if
    :: against ->
       keep = use[me];
       if :: held == EX && !want_ex && use[me] < PR -> keep = PR :: else fi;
       if :: phase == NONE && r[me].ph != NONE -> changed = 1 :: else fi;
       if
       :: keep != held && BUG != 3 -> held = keep; changed = 1
       :: keep == held && r[me].h != held -> changed = 1
       :: else
       fi; keep = 0
    :: !against && wanted && phase == NONE && r[me].ph == TRY -> changed = 1
    :: else
    fi;
    if :: nqt > an && use[me] != 0 -> an = nqt; changed = 1 :: else fi;

    if
    :: want == 0 -> goto decided
    :: want != 0 && phase == NONE && held >= want -> goto granted            /* cached: no I/O */
    :: want != 0 && phase == NONE && held < want ->                          /* start_want */
       placed = nq || BUG == 6; fresh = 0; flag = 0;
       t = (placed -> mt + 1 : PROV); assert(mt < 90);
       remember_unplaced();
       phase = (try_low || wait_low || try_high -> WAIT : TRY);
       changed = 1; printf("node %d wants %d: phase %d, ticket %d, noqueue %d, convert %d\n", me, want, phase, t, nq, cv);
       if :: BUG == 1 && phase == TRY && !held_conflict -> goto granted :: else -> goto decided fi
    :: else
    fi;
    if
    :: nq && fresh && (held_answered || wait_low_queued || (BUG == 4 && held_conflict)) ->
       assert(excuse[me]);
       goto refused
    :: deadlock && fresh && BUG != 7 ->
       /* somebody else's conversion goes on, so that of two exactly one is refused; unless that has just been given up or died */
       going_on = 0; i = 0;
       do
       :: i < N -> if :: i != me && conv_of[i] && want_of[i] != 0 && !try_of[i] -> going_on = 1 :: else fi; i++
       :: else -> break
       od;
       assert(going_on || withdrawn > 0 || (N > 2 && crashes > 0)); going_on = 0; i = 0;
       goto refused
    :: else
    fi;
    if                                                                       /* take_place */
    :: !placed && fresh && (held_conflict || try_low || try_high || wait_low) ->
       if
       :: unplaced                             /* the code waits one heartbeat at most; here for any time, even for ever */
       :: placed = 1; t = mt + 1; changed = 1; printf("node %d takes the place %d\n", me, t); goto evaluate
       fi
    :: else
    fi;
    if
    :: phase == WAIT && !(try_low || wait_low || try_high) -> phase = TRY; flag = 0; fresh = 0; changed = 1; goto decided
    :: phase == TRY && (try_low || wait_low) -> phase = WAIT; flag = 0; fresh = 0; changed = 1; goto decided
    :: phase == TRY && fresh && !(try_low || wait_low || try_high || held_conflict) -> goto granted
    :: BUG == 5 && phase == TRY && fresh && !(try_low || wait_low || held_conflict) && try_high -> goto granted
    :: else -> goto decided
    fi;
refused:
    want_over();
    printf("node %d is refused (deadlock %d, answered %d, queued %d)\n", me, deadlock, held_answered, wait_low_queued);
    moved = 1;
    phase = NONE; t = 0; placed = 0; after = 0; flag = 0; fresh = 0; cv = 0; nq = 0;
    want = 0; want_of[me] = 0; try_of[me] = 0; conv_of[me] = 0; changed = 1;
    goto decided;
granted:
#if ORDER
    printf("node %d may pass %d\n", me, passed[me]);
    assert(passed[me] == 0 || nq || phase == NONE);
#endif
    want_over();
    printf("node %d is granted %d\n", me, want);
    moved = 1;
    use[me] = want; want = 0; want_of[me] = 0; try_of[me] = 0; conv_of[me] = 0;
    if :: held < use[me] -> held = use[me] :: else fi;
    if
    :: phase != NONE && wanted -> changed = 1
    :: phase != NONE && !wanted                          /* publication may ride with any later write */
    :: phase != NONE && !wanted -> changed = 1
    :: phase == NONE
    fi;
    phase = NONE; t = 0; placed = 0; after = 0; flag = 0; fresh = 0; cv = 0; nq = 0; polled = 0;
    do
    :: i < N -> assert(i == me || !INC(use[i], use[me])); i++
    :: else -> break
    od;
    excuse_tries(use[me]);
    goto evaluate;
decided:
    clear_scan()
  }
#ifdef LIVELOCK
  if
  :: moved -> progress: moved = 0                    /* a label inside of atomic would not be seen */
  :: else
  fi;
#else
  atomic { moved = 0; goto publish };
publish:
#endif
  if
  :: atomic { changed -> printf("node %d writes: held %d, phase %d for %d, ticket %d\n", me, held, phase, want, t); changed = 0; r[me].h = held; r[me].ph = phase; flag = (phase != NONE); fresh = 0;
       if :: phase != NONE -> r[me].w = want; r[me].t = t; r[me].nq = nq; r[me].cv = cv
          :: else -> r[me].w = 0; r[me].t = 0; r[me].nq = 0; r[me].cv = 0 fi;
       if :: use[me] == 0 -> an = 0 :: else fi; r[me].an = an; note_place(); goto clients }
  :: atomic { !changed -> goto clients }
  fi;

clients:
  if
  :: want != 0 -> read_next(); goto sweep
  :: atomic { want != 0 && withdrawn < MAXWITHDRAW && !gave_up -> withdrawn++; gave_up = 1; goto refused }
  :: atomic { (want != 0 || use[me] != 0) && crashes < MAXCRASH -> crashes++; printf("node %d dies\n", me); want_over(); use[me] = 0; want_of[me] = 0; try_of[me] = 0; conv_of[me] = 0;
       dead[me] = 1; goto end }
  :: atomic { want == 0 && use[me] == 0 && rounds < K ->
       rounds++; polled = 0; converted = 0;
       if :: !EXONLY -> want = PR :: want = EX fi;
       if :: nq = 0 :: TRYLOCKS -> nq = 1 fi;
       goto ask }
  :: atomic { want == 0 && use[me] == 0 && rounds == K -> r[me].h = 0; r[me].ph = NONE; r[me].w = 0; r[me].t = 0; r[me].an = 0;
       r[me].nq = 0; r[me].cv = 0; goto end }
  :: atomic { POLL && want == 0 && !polled -> polled = 1 } read_next(); goto sweep
  :: atomic { CONVERT && want == 0 && use[me] == PR && !converted -> converted = 1; want = EX; cv = 1;
       if :: nq = 0 :: TRYLOCKS -> nq = 1 fi;
       goto ask }
  :: atomic { want == 0 && use[me] != 0 -> use[me] = 0; polled = 0; printf("node %d releases\n", me);
       if
       :: skip                                             /* the mode stays, cached */
       :: held = 0; changed = 1
       fi; goto evaluate }
  fi;
ask:
  atomic {
    gave_up = 0;
    want_of[me] = want; try_of[me] = nq; conv_of[me] = cv; excuse[me] = 0;
    do
    :: i < N ->
       /* ... or what is over already, but still stands on the disk */
       if :: i != me && (INC(use[i], want) || (want_of[i] != 0 && !try_of[i] && INC(want_of[i], want)) ||
                         (r[i].ph != NONE && !r[i].nq && INC(r[i].w, want)) || (r[i].an != 0 && INC(r[i].h, want))) -> excuse[me] = 1
       :: else fi; i++
    :: else -> break
    od;
    i = 0;
    if :: !nq -> excuse_tries(want) :: else fi;
    remember_line();
    goto evaluate
  }
end: skip
}

init {
  atomic {
    byte n = 0;
    do
    :: n < N ->
       if :: CONVONLY -> use[n] = PR; r[n].h = PR :: else fi;
       run node(n); n++
    :: else -> break
    od
  }
}
