/*
 * The upgrade protocol: a process replaces itself by its successor and takes
 * the service back when the successor fails. README.md says how to read this,
 * what is left out and what was found; check.sh runs it.
 *
 * Every process is a slot 0..N-1 and runs the same code: first as the child of
 * the process that started it, then as the service, then as the parent of the
 * next one. A slot is used again once its process is gone, so the number of
 * upgrades has no bound. Sets of processes are bit masks.
 *
 * A deadline is the option "true": it may pass although the other side is
 * merely slow, and weak fairness makes it pass if nothing else ever happens.
 */

#ifndef N
#define N      3   /* processes at one time */
#endif
#ifndef FAULTS
#define FAULTS 2   /* crashes, hangs and broken links in one run */
#endif
#define ROOM   2   /* frames on their way to a child */
#define ROOMUP 1   /* and to a parent */
#define NOBODY N
#define me     _pid

mtype = { Hello, Prepared, Ready, Serve, Serving, Beat, Probe, Alive,
          Commit, Abort,
          Connection, Taken, Refused };

/* The link of child k: down[k] from its parent, up[k] to its parent. */
chan down[N] = [ROOM] of { mtype };
chan up[N]   = [ROOMUP] of { mtype };

#define B(i)      (1 << (i))
#define in(s, i)  ((s) & B(i))
#define add(s, i) s = s | B(i)
#define del(s, i) s = s & ~B(i)
#define many(s)   ((s) & ((s) - 1))
#define ALL       (B(N) - 1)

/* What the kernel knows. */
#ifdef MOVE
#define BORN   3        /* processes 0 and 1 exist, the link is up */
byte parent[N] = 0;
#else
#define BORN   1        /* process 0 is the service */
byte parent[N] = NOBODY;
#endif
byte live = BORN;       /* its code may still take a step */
byte gone = ALL - BORN; /* a pidfd would say: certainly dead */
byte killed;            /* SIGKILL sent, not yet effective */
byte hung;              /* stopped for good, alive until killed */
byte linkP = BORN - 1;  /* the parent's end of link k is open */
byte linkC = BORN - 1;  /* the child's end of link k is open */
byte sock = 1;          /* holds the listening socket */
byte acc = 1;           /* accepts from it */

/* What the protocol is about. */
byte own = 1;           /* runs the singletons */
byte master = 1;        /* is the service: may start a successor */
byte busy;              /* parent with an upgrade under way */
byte pupil;             /* child that has not been committed */

/* Written for the properties only, never read by the protocol. */
byte faults;            /* crashes and hangs so far */
byte cuts;              /* links that broke though both ends live */
bit stop;               /* the operator ended the service */
#ifdef LTL
byte gave;              /* Prepared was sent to k */
byte told;              /* Abort was sent to k */
byte vouched;           /* k answered the probe that precedes Commit */
bit lonely;             /* a fault hit a process that nobody could stand in for */
#define ghost(s) s
#else
#define ghost(s) skip
#endif

#define serving (acc & ~hung)
#define willing (live & sock & ~(hung | killed | told))

#ifdef MOVE
byte reader = 1;        /* may read the connection's next byte */
byte copy = 1;          /* holds a descriptor of it */
byte eaten;             /* has read from it since the move began */

inline check() { assert(!many(reader)) }
#else
inline check() {
	assert(!many(own));                    /* one owner of the singletons */
	assert(!many(master));                 /* one service */
	assert(faults || stop || serving)      /* no gap without a fault */
}
#endif

/* Process i ends: the kernel closes what it had. Frames that it sent stay
   readable; frames that it had not read are lost. The pid goes later. */
inline vanish(i) {
	del(live, i); del(killed, i); del(hung, i); del(sock, i); del(acc, i);
	del(own, i); del(master, i); del(busy, i); del(pupil, i);
	ghost(del(told, i)); ghost(del(gave, i)); ghost(del(vouched, i)); del(linkC, i);
#ifdef MOVE
	del(reader, i); del(copy, i);
#endif
	do :: down[i]?_ :: empty(down[i]) -> break od;
	j = 0;
	do
	:: j < N && parent[j] == i -> del(linkP, j);
		do :: up[j]?_ :: empty(up[j]) -> break od; j++
	:: j < N && parent[j] != i -> j++
	:: j == N -> break
	od;
	j = 0;
	check()
}

inline acquire() { atomic { add(own, me); check() } }
inline exit()    { d_step { vanish(me) }; false }

/* ---- child ---- */

/* A failed write decides nothing: what the parent said may still be unread. */
#define SENDS (in(linkP & linkC, me) && len(up[me]) < ROOMUP)
#ifdef CHILD_EOF_FIRST
#define EOF (!in(linkP & linkC, me))
#else
#define EOF ((empty(down[me]) && !in(linkP, me)) || !in(linkC, me))
#endif

#define REPLY(m) \
	if \
	:: atomic { SENDS -> up[me]!m } \
	:: !in(linkP & linkC, me) \
	fi

#define HEAR(m, atend) \
	if \
	:: down[me]?m \
	:: down[me]?Abort -> goto leave \
	:: EOF -> goto atend \
	fi

#ifndef MOVE

/* ---- parent ---- */

/* Every wait of the parent: a deadline, three missed beats, an unhealthy beat
   or Abort; the end of the link or of the child; the operator's stop. */
#define TROUBLE \
	:: true -> goto rollback \
	:: empty(up[k]) && !in(linkC, k) -> goto rollback \
	:: atomic { !stop -> stop = 1; ending = 1 }; goto STOPPING

#ifdef STOP_IS_EXIT
#define STOPPING leave
#else
#define STOPPING rollback
#endif

#define TELL(m) \
	if \
	:: atomic { in(linkC, k) && len(down[k]) < ROOM -> down[k]!m } \
	TROUBLE \
	fi

#define AWAIT(m) \
	if \
	:: up[k]?m \
	TROUBLE \
	fi

#define PREPARE \
	if \
	:: atomic { in(linkC, k) && len(down[k]) < ROOM -> \
		down[k]!Prepared; ghost(add(gave, k)) } \
	TROUBLE \
	fi

active [N] proctype Process() {
	byte k, j, beats;
	bit ending;


end_free:
	!in(gone, me) ->
	{
		if
		:: parent[me] == NOBODY -> goto service
		:: else
		fi;

		/* A child: has nothing, then the sockets, then the service on trial. At a
		   rendezvous it says hello before it has heard one. */
		if
		:: REPLY(Hello); HEAR(Hello, leave)
#ifdef HELLO_DECIDES
		:: HEAR(Hello, leave); if :: in(linkP & linkC, me) :: !in(linkP & linkC, me) -> goto leave fi; REPLY(Hello)
#else
		:: HEAR(Hello, leave); REPLY(Hello)
#endif
		fi;
		HEAR(Prepared, leave);
		add(sock, me);
#ifdef EXIT_BEFORE_READY
		if :: EOF -> goto leave :: true fi;
#endif
		REPLY(Ready);
#ifdef CHILD_DEADLINE
		if
		:: down[me]?Serve
		:: down[me]?Abort -> goto leave
		:: EOF -> goto orphan
		:: true -> goto leave
		fi;
#else
#ifdef EXIT_AFTER_READY
		HEAR(Serve, leave);
#else
		HEAR(Serve, orphan);
#endif
#endif
		acquire();
#ifdef SERVING_EARLY
		REPLY(Serving);
		add(acc, me);
#else
		add(acc, me);
		REPLY(Serving);
#endif
		do
		:: atomic { SENDS -> up[me]!Beat }
		:: down[me]?Probe ->
			if
			:: atomic { SENDS -> up[me]!Alive; ghost(add(vouched, me)) }
			:: !in(linkP & linkC, me)
			fi
		:: down[me]?Commit -> goto inherit
		:: down[me]?Abort -> goto leave
#ifdef EXIT_ON_TRIAL
		:: EOF -> goto leave
#else
		:: EOF -> goto orphan
#endif
		od;

orphan:         /* Serves on if it does; takes nothing before the pid is gone. */
#ifndef TAKE_ON_EOF
		in(gone, parent[me]) ->
#endif
		if :: !in(own, me) -> acquire() :: else fi;
		add(acc, me);
#ifdef NEVER_TAKES_OVER
		assert(false);
#endif

inherit:        atomic {
			del(pupil, me); ghost(del(gave, me)); ghost(del(vouched, me)); add(master, me);
			del(linkP, me); del(linkC, me); parent[me] = NOBODY;
			do :: down[me]?_ :: empty(down[me]) -> break od;
			do :: up[me]?_ :: empty(up[me]) -> break od;
			check()
		};

service:
end_service:
		if
		:: gone ->          /* a slot is free: someone asks for an upgrade */
			d_step {
				if
				:: in(gone, 0) -> k = 0
				:: !in(gone, 0) && in(gone, 1) -> k = 1
				:: !in(gone, 0) && !in(gone, 1) -> k = 2
				fi;
				del(gone, k); parent[k] = me;
				add(linkP, k); add(linkC, k);
				add(pupil, k); add(busy, me); add(live, k)
			}
		:: atomic { !stop -> stop = 1 }; goto leave
		:: true ->          /* nobody will ever ask again */
end_rest:               false
		fi;

		TELL(Hello);
		if                  /* without states, all that it waits for goes along */
		:: AWAIT(Hello); PREPARE
		:: PREPARE; AWAIT(Hello)
		fi;
		if
		:: AWAIT(Ready)
		:: del(own, me); TELL(Serve); AWAIT(Ready); goto ordered /* with nothing to give up: at once */
		fi;
#ifdef PAUSE_EARLY
		atomic { del(acc, me); check() };
#endif
#ifdef RELEASE_LATE
		TELL(Serve);
		del(own, me);
#else
		del(own, me);
		TELL(Serve);
#endif
ordered:
#ifdef WAIT_FOREVER
		up[k]?Serving;
#else
		AWAIT(Serving);
#endif
		atomic { del(acc, me); check() };
		AWAIT(Beat);        /* probation */
#ifndef STALE_BEAT
		TELL(Probe);        /* a beat may be old: ask once more before it counts */
		do
#ifdef BEAT_RENEWS
		:: up[k]?Beat
#else
		:: atomic { beats < 2 && up[k]?[Beat] -> up[k]?Beat; beats++ }
#endif
		:: up[k]?Alive -> break
		TROUBLE
		od;
		beats = 0;
#endif
		if
		:: atomic { in(linkC, k) && len(down[k]) < ROOM ->
			down[k]!Commit;
			del(master, me); del(busy, me); del(sock, me) }
		TROUBLE
		fi;
#ifdef UNDRAIN
		if
		:: atomic { in(gone, k) ->
			add(sock, me); add(acc, me); add(master, me); check() };
			acquire(); k = 0; goto service
		:: true
		fi;
#endif
#ifdef NEVER_COMMITS
		assert(false);
#endif
		k = 0;
		goto leave;         /* drains as long as it likes, then exits */

rollback:
#ifndef RESUME_LATE
		add(acc, me);
#endif
		if
		:: atomic { in(linkC, k) && len(down[k]) < ROOM ->
			down[k]!Abort; ghost(add(told, k)) }
		:: !in(linkC, k) || len(down[k]) == ROOM    /* never waits for room */
		fi;
		if :: del(linkP, k) :: true fi;
#ifdef ABORT_ONLY
		do
		:: in(gone, k) -> break
		:: atomic { !in(gone, k) && in(linkC, k) && len(down[k]) < ROOM ->
			down[k]!Abort; ghost(add(told, k)) }
		:: !in(gone, k)
		od;
		true;
#else
		atomic { if :: in(live, k) -> add(killed, k) :: else fi };
#ifdef REACQUIRE_EARLY
		if :: !in(own, me) -> acquire() :: else fi;
#endif
		in(gone, k);
#endif
#ifdef RESUME_LATE
		add(acc, me);
#endif
		d_step {
			del(linkP, k); del(busy, me);
			do :: up[k]?_ :: empty(up[k]) -> break od;
			k = 0; beats = 0
		};
#ifndef NEVER_REACQUIRE
		if :: !in(own, me) -> acquire() :: else fi;
#endif
#ifdef NEVER_ROLLS_BACK
		assert(false);
#endif
		if
		:: ending
		:: !ending -> goto service
		fi;

leave:          exit()
	}
	unless { !in(live, me) || in(hung, me) };

	/* The kernel has closed its files; later its pid goes. One that is stopped
	   for good stays, if nobody is left to kill it. */
end_stopped:
	!in(live, me);
	d_step {
		k = 0; beats = 0; ending = 0; parent[me] = NOBODY;
		do :: up[me]?_ :: empty(up[me]) -> break od;
		add(gone, me)
	};
	goto end_free

}

/* SIGKILL is asynchronous: the process may take any number of steps first. */
active proctype Kernel() {
	byte j;
end_kernel:
	do
	:: d_step { in(killed & live, 0) -> vanish(0) }
	:: d_step { in(killed & live, 1) -> vanish(1) }
#if N > 2
	:: d_step { in(killed & live, 2) -> vanish(2) }
#endif
	od
}

#else /* MOVE */

/* ---- one idle connection moves, after Commit ---- */

active proctype Old() {                 /* process 0, draining */
	byte j;
	{
		del(reader, 0);         /* its blocked read has returned, nothing read */
		if
		:: atomic { in(linkC, 1) && len(down[1]) < ROOM -> down[1]!Connection }
		:: true -> goto keep    /* not written whole, so not sent */
		fi;
		if
		:: up[1]?Taken -> del(copy, 0); goto leave
		:: up[1]?Refused -> goto keep
#ifdef EOF_FIRST
		:: !in(linkC, 1) -> goto keep
#else
		:: empty(up[1]) && !in(linkC, 1) -> goto keep
#endif
#ifdef TAKEN_DEADLINE
		:: true -> goto keep
#endif
		:: true -> goto leave   /* the drain's own deadline */
		fi;
keep:           atomic { add(reader, 0); assert(!in(eaten, 1)); check() };
leave:          exit()
	}
	unless { !in(live, me) };
	!in(live, me);
	add(gone, 0)
}

active proctype New() {                 /* process 1, the service */
	byte j;
	{
		if
		:: down[me]?Connection -> add(copy, me)
		:: EOF -> goto rest
		fi;
#ifdef READ_FIRST
		atomic { add(reader, me); check() };
		add(eaten, me);
#endif
		if
		:: atomic { SENDS -> up[me]!Taken }; goto take
		:: del(copy, me); REPLY(Refused); goto rest
#ifdef TAKE_ANYHOW
		:: !in(linkP & linkC, me) -> goto take
#else
		/* Taken can't be written. If this end is the broken one, the old
		   process has it again; if the other, wait till that is certain. */
		:: !in(linkC, me) -> goto drop
#ifdef DROP_ON_EPIPE
		:: in(linkC, me) && !in(linkP, me) -> goto drop
#else
		:: in(linkC, me) && !in(linkP, me) ->
			if
			:: in(gone, 0) -> goto take
			:: !in(linkC, me) -> goto drop
			fi
#endif
#endif
		fi;
drop:           assert(faults || cuts || in(copy, 0));
		del(copy, me);
		goto rest;
take:           atomic { add(reader, me); check() };
		add(eaten, me);
rest:
end_rest:       false
	}
	unless { !in(live, me) };
	!in(live, me);
	add(gone, me)
}
#endif

/* ---- what goes wrong ---- */

/* Could someone stand in for process i, had it to? Its parent before Commit,
   or its child from Prepared on. */
#define heir(i, k) (k != i && parent[k] == i && \
	in(live & pupil & gave & ~(killed | told | hung), k))
#if N > 2
#define heirs(i) (heir(i, 0) || heir(i, 1) || heir(i, 2))
#else
#define heirs(i) (heir(i, 0) || heir(i, 1))
#endif
#define standby(i) (parent[i] < N && in(live & master, parent[i]))

inline alone(i) {
#ifdef LTL
	if
	:: in(pupil, i) && (!standby(i) || in(vouched, i)) -> lonely = 1
	:: in(master, i) && !heirs(i) -> lonely = 1
	:: else
	fi
#else
	skip
#endif
}

#define CRASH(i) \
	:: d_step { faults + cuts < FAULTS && in(live, i) -> \
		faults++; alone(i); vanish(i) }
#define HANG(i) \
	:: d_step { faults + cuts < FAULTS && in(live & pupil & ~hung, i) -> \
		faults++; alone(i); add(hung, i) }
#ifdef MOVE
#define trial live      /* whose link may break */
#else
#define trial (live & pupil)
#endif
#define CUT(i) \
	:: d_step { faults + cuts < FAULTS && in(trial & linkC, i) -> \
		do :: down[i]?_ :: empty(down[i]) -> break od; \
		cuts++; del(linkC, i) }

active proctype Fate() {
	byte j;
end_fate:
	do
	CRASH(0) HANG(0) CUT(0)
	CRASH(1) HANG(1) CUT(1)
#if N > 2
	CRASH(2) HANG(2) CUT(2)
#endif
#ifdef LTL
	:: break            /* fairness must not force a fault */
#endif
	od
}

#ifdef LTL
#ifdef MOVE
ltl read     { [] <> (reader || !copy) }
#else
ltl serves   { [] <> (serving || !willing || stop) }
ltl owned    { [] <> ((own & ~hung) || !willing || stop) }
ltl survives { [] (faults + cuts <= 1 && !lonely && !stop ->
                  <> (serving || faults + cuts > 1 || lonely || stop)) }
ltl ends     { [] (in(busy, 0) -> <> !in(busy, 0)) }
ltl settles  { [] (in(pupil, 1) -> <> !in(pupil & ~hung, 1)) }
ltl stops    { [] (stop && !faults -> <> (!live || faults)) }
#endif
#endif
