/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Lives in slots, as heartbeat/membership.cpp and own_slot.cpp see them, with one exclusive lock above: a node dies with a
 * write on its way, is evicted, a new life claims its slot, and the old write lands at last ("zombie"); meanwhile another
 * node joins. Time is reduced to what its bounds promise: nobody is judged dead before its lease is over (`lives`); an image
 * that cannot be followed is passed over only when nobody lives behind it. Everything else may take any time.
 *
 * Node 0 lives all the time (-DJOINER=1: joins in the middle), node 1 has LIVES lives, the others join in the middle; each takes the lock ROUNDS times in a
 * life; with -DQUIET=1 node 0 and the first life of node 1 never do. Checked: two nodes never use the lock. -DBUG=n plants a bug that the check must find. see README.md
 */
#ifndef N
#define N 2
#endif
#ifndef LIVES
#define LIVES 2
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef QUIET
#define QUIET 0
#endif
#ifndef JOINER
#define JOINER 0
#endif
#ifndef BUG
#define BUG 0
#endif

/* An image of a slot. `up`: the lock is held or tried for. `late`: the write that was on its way when its life ended, with
 * the highest sequence of that life. ev, evl: the life of each node that this one has found dead, and its last image. answer:
 * the claim of each node that this one has seen and follows. */
typedef Image { byte life; bit live; bit up; bit late; byte ev[N]; bit evl[N]; byte answer[N] }
#define STARTS(n) ((n) == 1 || ((n) == 0 && !JOINER))
Image r[N];
Image z[N];             /* on its way; life 0: none */
byte lives[N];          /* life whose lease runs; 0: none */
bit use[N];
byte running[N];        /* life that is live; 0: none, or a claim */
byte follows[N];        /* life of node 1 that each node follows */

inline copy_image(to, from) {
  d_step { to.life = from.life; to.live = from.live; to.up = from.up; to.late = from.late;
    x = 0; do :: x < N -> to.ev[x] = from.ev[x]; to.evl[x] = from.evl[x]; to.answer[x] = from.answer[x]; x++ :: else -> break od; x = 0 }
}

/* The own state goes to `to`. */
inline compose(to, is_late) {
  d_step { to.life = life; to.live = live; to.up = up; to.late = is_late;
    x = 0; do :: x < N -> to.ev[x] = ev[x]; to.evl[x] = evl[x]; to.answer[x] = (x != me && live -> k[x] : 0); x++ :: else -> break od; x = 0 }
}

/* `j` is read: who lives there, and is it known what that life wants? */
inline see() {
  d_step {
    cur[j] = 0;
    if
    :: r[j].life == 0 -> cur[j] = (k[j] == 0 || over[j])
    :: r[j].life != 0 && r[j].life == k[j] && over[j] ->
       cur[j] = 1                                 /* nobody: a new life would not be live before this node has answered its claim */
    :: r[j].life != 0 && r[j].life == k[j] && !over[j] ->
       if :: r[j].late || !last[j] -> last[j] = r[j].late; take = 1 :: else fi
    :: r[j].life > k[j] ->
       /* its claim says that the life before it has ended */
       if :: k[j] != 0 && !over[j] -> ev[j] = k[j]; evl[j] = last[j] :: else fi;
       changed = 1;
       k[j] = r[j].life; over[j] = 0; last[j] = r[j].late; take = 1; if :: j == 1 -> follows[me] = k[j] :: else fi
    :: r[j].life != 0 && r[j].life < k[j] -> cur[j] = (BUG == 2); if :: BUG == 2 -> ups[j] = 0 :: else fi
    fi;
    if
    :: take ->
       cur[j] = 1; ups[j] = r[j].live && r[j].up; ack[j] = (r[j].answer[me] == life || !r[j].live || BUG == 4); take = 0;
       x = 0;
       do
       :: x < N && x != j ->
          if
          :: x == me && r[j].ev[x] == life -> lost = 1
          :: x != me && r[j].ev[x] != 0 && r[j].ev[x] == k[x] && !over[x] -> over[x] = 1; last[x] = r[j].evl[x]; ev[x] = k[x]; evl[x] = last[x]; changed = 1
          :: else
          fi; x++
       :: x < N && x == j -> x++
       :: x == N -> break
       od; x = 0
    :: else
    fi;
    printf("node %d reads %d: life %d, live %d, up %d, late %d; follows %d, over %d, known %d\n",
           me, j, r[j].life, r[j].live, r[j].up, r[j].late, k[j], over[j], cur[j])
  }
}

proctype node(byte me) {
  byte life, k[N], ev[N], j, x, rounds, judged;
  bit live, up, changed, fresh, good, take, lost, hung, going;
  bit over[N], last[N], cur[N], ups[N], evl[N], ack[N];

  if
  :: atomic { STARTS(me) -> life = 1; live = 1;
       j = 0; do :: j < 2 -> if :: j != me && STARTS(j) -> k[j] = 1 :: else fi; j++ :: else -> break od; j = 0; running[me] = 1; follows[me] = 1; goto work }
  :: atomic { !STARTS(me) -> goto join }
  fi;

join:
  /* The claim of a host whose own life before cannot run any more, or of a free slot. */
  atomic {
    printf("node %d claims life %d\n", me, life + 1);
    life = life + 1; live = 0; up = 0; changed = 0; lost = 0; going = 0;
    lives[me] = life;                                         /* a claim has a lease, too */
    compose(r[me], 0)
  }
claimed:
  do
  :: j < N && j != me -> see(); j++
  :: j == me -> j++
  :: atomic { j >= N -> j = 0; break }
  od;
  if
  :: r[me].life != life -> goto join_again                  /* a late write over the claim: claim again */
  :: else
  fi;
  atomic {
    going = 1; x = 0;
    do
    :: x < N ->
       /* everybody who may live is followed, and whoever is live has answered this claim: an image may be of somebody dead */
       if :: x != me && (!cur[x] || (k[x] != 0 && !over[x] && !ack[x])) -> going = 0 :: else fi; x++
    :: else -> break
    od; x = 0;
    if
    :: going -> going = 0; goto turn_live
    :: else -> goto judge
    fi
  }
turn_live:
  /* This write completes within io_timeout of the read before, or the claim goes on. A claim waits longer than that before its
     last read. So who turns live has seen everybody who is live, and is seen by them. */
  atomic {
    going = 1; x = 0;
    do
    :: x < N -> if :: x != me && running[x] != 0 && (running[x] != k[x] || (me == 1 && follows[x] != life)) && BUG != 1 && BUG != 4 -> going = 0 :: else fi; x++
    :: else -> break
    od; x = 0;
    if
    :: going -> going = 0; live = 1; running[me] = life; printf("node %d is live\n", me); compose(r[me], 0); changed = 0; goto work
    :: else -> goto claimed
    fi
  }
join_again:
  atomic { life = life - 1; goto join };

work:
  atomic {
    if
    :: lost -> lives[me] = 0; running[me] = 0; use[me] = 0; goto gone
    :: !lost && !up && rounds < ROUNDS && !(QUIET && me < 2 && life == 1) -> rounds++; up = 1; fresh = 0; changed = 1
    :: !lost && !up
    :: !lost && up && use[me] -> use[me] = 0; up = 0; changed = 1; printf("node %d releases\n", me)
    :: !lost && up                                              /* goes on with the lock, or waits for it */
    :: !lost && up && !use[me] -> up = 0; changed = 1           /* backs off */
    fi;
    goto write
  }
write:
  if
  :: atomic { changed || !good -> changed = 0; compose(r[me], 0); fresh = 0;
       printf("node %d writes: life %d, live %d, up %d\n", me, life, live, up);
       if :: judged != 0 -> over[judged - 1] = 1; judged = 0 :: else fi }
  :: atomic { me == 1 && life < LIVES && live -> compose(z[me], 1); hung = 1;
       printf("node %d: a write with up %d does not come through\n", me, up); goto ending }
  :: atomic { me == 1 && life < LIVES && live -> hung = 1; goto ending }
  :: !changed && good
  fi;
read:
  atomic { fresh = 1; good = 1; goto sweep };
sweep:
  do
  :: j < N && j != me -> see(); j++
  :: atomic { j == me -> good = (r[me].life == life); j++ }
  :: atomic { j >= N -> j = 0; break }
  od;
judge:
  /* two reads far enough apart show one image: its lease is over, and whoever lives there now would have written again */
  if
  :: atomic { judged == 0 ->
       x = 0;
       do
       :: x < N && (x == me || k[x] == 0 || over[x] || r[x].life != k[x] || r[x].late != last[x] || (lives[x] != 0 && BUG != 3)) -> x++
       :: x < N && !(x == me || k[x] == 0 || over[x] || r[x].life != k[x] || r[x].late != last[x] || (lives[x] != 0 && BUG != 3)) ->
          judged = x + 1; ev[x] = k[x]; evl[x] = last[x]; changed = 1;
          printf("node %d finds life %d of %d dead\n", me, k[x], x); break
       :: x == N -> break
       od; x = 0;
       if :: judged != 0 && !live -> over[judged - 1] = 1; judged = 0 :: else fi }
  /* an image that cannot be followed, and nobody writes it again for so long that nobody can live there */
  :: atomic { x = 0;
       do
       :: x < N -> if :: x != me && !cur[x] && (k[x] == 0 || over[x]) && lives[x] == 0 -> cur[x] = 1; ups[x] = 0 :: else fi; x++
       :: else -> break
       od; x = 0 }
  :: skip
  fi;
  atomic {
    if
    :: !live -> goto claimed
    :: live && (!good || !fresh || !up || use[me] || lost) -> goto work
    :: else
    fi;
    going = 1; x = 0;
    do
    :: x < N -> if :: x != me && (!cur[x] || (k[x] != 0 && !over[x] && ups[x])) -> going = 0 :: else fi; x++
    :: else -> break
    od; x = 0;
    if
    :: going ->
       going = 0; use[me] = 1; printf("node %d is granted\n", me);
       do :: x < N -> assert(x == me || !use[x]); x++ :: else -> break od; x = 0
    :: else
    fi;
    goto work
  }
ending:
  atomic { hung = 0; lives[me] = 0; running[me] = 0; use[me] = 0; printf("node %d: life %d is over\n", me, life) };
gone:
  atomic {
    up = 0; live = 0; changed = 0; fresh = 0; lost = 0; rounds = 0; judged = 0; j = 0; going = 0; good = 0;
    if
    :: me == 1 && life < LIVES -> goto join
    :: else -> goto end
    fi
  };
end: skip
}

proctype storage() {
  byte x;
end:
  do
  :: atomic { z[1].life != 0 && lives[1] != z[1].life ->
       printf("the late write of node 1 lands\n"); copy_image(r[1], z[1]); z[1].life = 0; z[1].live = 0; z[1].up = 0; z[1].late = 0;
       x = 0; do :: x < N -> z[1].ev[x] = 0; z[1].evl[x] = 0; z[1].answer[x] = 0; x++ :: else -> break od; x = 0 }
  od
}

init {
  atomic {
    byte n = 0;
    do
    :: n < N ->
       if :: STARTS(n) -> r[n].life = 1; r[n].live = 1; lives[n] = 1 :: else fi;
       run node(n); n++
    :: else -> break
    od;
    run storage()
  }
}
