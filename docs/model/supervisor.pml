/*
 * The supervisor: a process that keeps the listening socket, starts a worker anew
 * when the one that serves ends or hangs, starts the successors that workers ask
 * for, and replaces itself by another program. README.md says how to read this;
 * check.sh runs it.
 *
 * Workers are slots 0..N-1, as in upgrade.pml, whose handshake is here a few bits per
 * child: what a frame says stays readable when its sender has gone. A slot is used
 * again once the supervisor has buried its process.
 */

#ifndef N
#define N      2   /* workers at one time */
#endif
#ifndef FAULTS
#define FAULTS 2   /* crashes, hangs and false alarms in one run */
#endif
#define ROOM   2   /* frames on their way from a worker */
#define REPLACED 1 /* replacements of the supervisor in one run */
#define NOBODY N
#define SUP    (N + 1) /* parent: the supervisor plays the dead one's part */
#define DEAD   (N + 2) /* parent: it is gone, as a pidfd says */
#define REFUSED (N + 3)
#define me     _pid

mtype = { Start, Served, Snap };
chan up[N] = [ROOM] of { mtype };       /* the link of a worker */

#define B(i)      (1 << (i))
#define in(s, i)  ((s) & B(i))
#define add(s, i) s = s | B(i)
#define del(s, i) s = s & ~B(i)
#define many(s)   ((s) & ((s) - 1))
#define ALL       (B(N) - 1)

/* What the kernel knows. Worker 0 is the service. */
byte parent[N] = NOBODY;
byte live = 1;          /* its code may still take a step */
byte gone = ALL - 1;    /* certainly dead */
byte zombie;            /* dead, and not yet buried by the supervisor */
byte killed;            /* SIGKILL sent, not yet effective */
byte hung;              /* stopped for good, alive until killed */
byte term;              /* told to stop */
byte sock = 1;          /* holds the listening socket */
byte acc = 1;           /* accepts from it */
bit boss = 1;           /* the supervisor lives */

/* The handshake with child k. */
byte prepared, ready, ordered, trial, committed, told;
byte answer[N] = NOBODY; /* to the order to start a successor */

/* What it is about. */
byte own = 1;           /* runs the singletons */
byte master = 1;        /* is the service */
byte busy;              /* parent with an upgrade under way */
byte pupil;             /* child that is not the service yet */

/* What the supervisor knows. */
byte serves_ = 0;       /* the worker that serves */
byte starting;          /* workers that have not served */
bit snap = 1;           /* it has a snapshot, and with it the socket */
bit due;                /* a start is due */
byte heir = NOBODY;     /* must become the service in time */
byte next = NOBODY;     /* takes over from the supervisor */
byte rep, prog, tries;  /* its replacement: 1 on trial, 2 proved */

/* Written for the properties only. */
byte faults;            /* all */
bit hurt;               /* one of them hit a worker */
bit stop;               /* the operator ended the service */

#define serving (acc & ~hung)

inline check() {
	assert(!many(own));                         /* one owner of the singletons */
	assert(!many(master));                      /* one service */
	assert(faults || stop || serving);          /* no gap without a fault */
	assert(boss || faults || stop);             /* nobody ends the supervisor */
	assert(!boss || stop || snap || sock)       /* who connects waits, at worst */
}

/* Process i ends. What it has written can still be read. */
inline vanish(i) {
	del(live, i); del(killed, i); del(hung, i); del(sock, i); del(acc, i);
	del(own, i); del(master, i); del(busy, i); del(pupil, i); del(term, i);
	check()
}

inline exit() { d_step { vanish(me) }; false }

inline forget(k) {
	del(prepared, k); del(ready, k); del(ordered, k); del(trial, k); del(committed, k); del(told, k)
}

inline born(k, p) {
	d_step { del(gone, k); add(live, k); add(pupil, k); parent[k] = p; answer[k] = NOBODY }
}

#define free (gone & ~zombie)
inline slot(k) {
	if
	:: in(free, 0) -> k = 0
	:: in(free, 1) -> k = 1
#if N > 2
	:: in(free, 2) -> k = 2
#endif
	fi
}

/* ---- worker ---- */

#ifdef GO_DOWN_TOO
#define LEAVE :: in(told | term, me) || !boss -> goto leave
#else
#define LEAVE :: in(told | term, me) -> goto leave
#endif

#define SAY(m) \
	if \
	:: atomic { boss && len(up[me]) < ROOM -> up[me]!m } \
	:: !boss \
	fi

/* Every wait of the parent: a deadline and all that upgrade.pml has; its end. */
#define TROUBLE :: true -> goto rollback

active [N] proctype Worker() {
	byte k, j;
end_free:
	!in(gone, me) ->
	{
		if
		:: parent[me] == NOBODY -> goto service
		:: else
		fi;

		/* As upgrade.pml has it: the heir from Prepared on. */
end_new:	if
		:: in(prepared, me)
		LEAVE
		:: !in(prepared, me) && parent[me] == DEAD -> goto leave
		fi;
		atomic { add(sock, me); add(ready, me) };
end_ready:	if
		:: in(ordered, me)
		LEAVE
		:: !in(ordered, me) && parent[me] == DEAD
		fi;
		atomic { add(own, me); check() };
		atomic { add(acc, me); add(trial, me) };
end_trial:	if
		:: in(committed, me)
		LEAVE
		:: !in(committed, me) && parent[me] == DEAD
		fi;
		atomic {
			del(pupil, me); add(master, me); parent[me] = NOBODY;
#ifdef NEVER_INHERITS
			assert(in(committed, me));
#endif
			forget(me); check()
		};
		SAY(Served);
		SAY(Snap);

service:
end_service:
		if
		:: atomic { boss && !in(term, me) -> add(busy, me) };
			SAY(Start);
			if
			:: atomic { answer[me] < NOBODY -> k = answer[me]; answer[me] = NOBODY }
			:: atomic { answer[me] == REFUSED -> answer[me] = NOBODY; del(busy, me) }; goto service
			:: atomic { !boss && answer[me] == NOBODY -> del(busy, me) }; goto service
			fi
		:: atomic { !boss && free && !in(term, me) -> slot(k); born(k, me); add(busy, me) }
		:: in(term, me) -> goto leave
#ifdef GO_DOWN_TOO
		:: !boss -> goto leave
#endif
		:: true ->      /* nobody will ever ask again */
end_rest:		if
			:: in(term, me)
#ifdef GO_DOWN_TOO
			:: !boss
#endif
			fi;
			goto leave
		fi;

		if :: atomic { in(live, k) -> add(prepared, k) } TROUBLE fi;
		if :: in(ready, k) TROUBLE fi;
		del(own, me);
		if :: atomic { in(live, k) -> add(ordered, k) } TROUBLE fi;
		if :: in(trial, k) TROUBLE fi;
		atomic { del(acc, me); check() };
		if                      /* it has answered the probe */
		:: atomic { in(live & trial & ~(hung | killed), k) ->
			add(committed, k); k = 0; del(master, me); del(busy, me); del(sock, me) }
		TROUBLE
		fi;
		goto leave;             /* drains as long as it likes */

rollback:       atomic { add(acc, me); if :: in(live, k) -> add(told, k); add(killed, k) :: else fi };
		in(gone, k);
		atomic { if :: !in(own, me) -> add(own, me) :: else fi; del(busy, me); k = 0; check() };
		if
		:: in(term, me)
		:: !in(term, me) -> goto service
		fi;

leave:          exit()
	}
	unless { !in(live, me) || in(hung, me) };
end_stopped:
	!in(live, me);
	d_step {
		forget(me); add(gone, me); if :: boss -> add(zombie, me) :: else fi;
		k = 0; j = 0;
		do
		:: j < N && parent[j] == me -> parent[j] = DEAD; j++
		:: j < N && parent[j] != me -> j++
		:: j == N -> break
		od;
		j = 0; parent[me] = NOBODY
	};
	goto end_free
}

/* SIGKILL is asynchronous. */
active proctype Kernel() {
end_kernel:
	do
	:: d_step { in(killed & live, 0) -> vanish(0) }
	:: d_step { in(killed & live, 1) -> vanish(1) }
#if N > 2
	:: d_step { in(killed & live, 2) -> vanish(2) }
#endif
	od
}

/* ---- supervisor ---- */

#ifdef STOP_RESTARTS
#define stopping 0
#else
#define stopping stop
#endif

/* Another worker is needed: the one that inherits by itself, else a new one. */
inline recover() {
	if
	:: stopping -> skip
#ifndef NO_HEIR
	:: !stopping && starting -> expect()
	:: !stopping && !starting -> due = 1
#else
	:: !stopping -> due = 1
#endif
	fi
}

inline expect() {
	if
	:: in(starting, 0) -> heir = 0
	:: !in(starting, 0) && in(starting, 1) -> heir = 1
#if N > 2
	:: !in(starting, 0) && !in(starting, 1) -> heir = 2
#endif
	fi
}

inline heard_served(i) {
	if
	:: in(starting, i) ->
		del(starting, i); serves_ = i; due = 0; heir = NOBODY;
		if :: next == i -> next = NOBODY :: else fi;
#ifdef SWAP_EARLY
		snap = 0;
#endif
		check()
	:: else
	fi
}

inline heard_start(i) {
	if
	:: !in(live, i)         /* nobody is there to be told */
	:: in(live, i) && (stop || !free) -> answer[i] = REFUSED
	:: in(live, i) && !stop && free -> slot(k); born(k, i); add(starting, k); answer[i] = k
	fi;
	k = 0
}

inline farewell(i) {
	del(zombie, i); del(starting, i);
	if :: next == i -> next = NOBODY :: else fi;
	if :: heir == i -> heir = NOBODY :: else fi;
	if
	:: serves_ == i -> serves_ = NOBODY;
#ifdef DROP_SNAPSHOT
		snap = 0; check();
#endif
	:: else
	fi;
	if
	:: serves_ == NOBODY && !due -> recover()
	:: else
	fi
}

#ifdef END_EARLY
#define READ(i) true
#else
#define READ(i) empty(up[i])
#endif

#ifdef RESTART_EARLY
#define BURY(i) serves_ = NOBODY; recover()
#else
#define BURY(i) skip
#endif

/* It misses its heartbeats: degraded, then killed. */
#ifdef NEVER_KILL
#define STALLED(i)
#else
#define STALLED(i) \
	:: atomic { serves_ == i && in(hung & ~killed, i) -> add(killed, i); BURY(i) }
#endif

/* A deadline passes for who hangs; for any other that is a fault. */
inline late(i) {
	if
	:: in(hung, i)
	:: !in(hung, i) -> faults++; hurt = 1
	fi;
	add(killed, i)
}
#define mayfail(i) (in(live & ~killed, i) && (in(hung, i) || faults < FAULTS))

#define WORKER(i) \
	:: atomic { up[i]?Served -> heard_served(i) } \
	:: atomic { up[i]?Snap -> if :: serves_ == i -> snap = 1 :: else fi } \
	:: atomic { up[i]?Start -> heard_start(i) } \
	:: atomic { in(zombie, i) && READ(i) -> farewell(i) } \
	STALLED(i)

#define idle (!stop && serves_ != NOBODY && !due && !starting && next == NOBODY)
#ifdef EXEC_BUSY
#define mayexec (!stop)
#else
#define mayexec idle
#endif

#define GOOD      0
#define BAD       1     /* it cannot read the state */
#define LATER_BAD 2     /* it can, and cannot take over: the old one is executed again */

/* The program after execve has what is saved, and nothing else. */
inline execute() {
#ifdef BY_PATH
	if :: prog = BAD :: true fi;    /* the file was replaced since the trial */
#endif
	assert(prog != BAD);
#ifdef NO_WAY_BACK
	if :: prog == LATER_BAD -> boss = 0; check() :: else fi;
#endif
#ifdef LOSE_SNAPSHOT
	snap = 0; check();
#endif
#ifdef REAP_FROZEN
	zombie = 0;
#endif
	due = 0; heir = NOBODY; next = NOBODY; rep = 0; prog = GOOD
#ifdef NEVER_EXECUTES
	; assert(false)
#endif
}

active proctype Supervisor() {
	byte k;
	{
	do
	WORKER(0) WORKER(1)
#if N > 2
	WORKER(2)
#endif
#ifndef NEVER_RESTART
	:: atomic { due && serves_ == NOBODY && free ->
		due = 0; slot(k); born(k, SUP); add(starting, k); next = k; k = 0 }
#endif
	/* it plays the predecessor */
	:: atomic { next < NOBODY && in(live & ~prepared, next) -> add(prepared, next) }
	:: atomic { next < NOBODY && in(live & ready & ~ordered, next) -> add(ordered, next) }
	:: atomic { next < NOBODY && in(live & trial & ~committed, next) -> add(committed, next) }
#ifndef HEIR_FOREVER
	:: atomic { heir < NOBODY && mayfail(heir) -> late(heir) }
#endif
#ifndef TAKEOVER_FOREVER
	:: atomic { next < NOBODY && mayfail(next) -> late(next) }
#endif
	/* another program: tried, then executed by its descriptor */
	:: atomic { tries < REPLACED && !rep && idle ->
		tries++; rep = 1; if :: prog = GOOD :: prog = BAD :: prog = LATER_BAD fi }
#ifdef EXEC_UNTRIED
	:: atomic { rep == 1 -> rep = 2 }
#else
	:: atomic { rep == 1 -> if :: prog == BAD -> rep = 0 :: prog != BAD -> rep = 2 fi }
#endif
	:: atomic { rep == 2 && mayexec -> execute() }
	:: atomic { stop && (live & hung & ~killed) ->  /* told so twice */
		killed = killed | (live & hung) }
	:: atomic { stop && !live && !zombie -> boss = 0; goto over }
	od
	}
	unless { !boss };
over:
end_over:
	false
}

/* ---- what goes wrong ---- */

#define CRASH(i) \
	:: d_step { faults < FAULTS && in(live, i) -> faults++; hurt = 1; vanish(i) }
#define HANG(i) \
	:: d_step { faults < FAULTS && in(live & ~hung, i) -> faults++; hurt = 1; add(hung, i) }

active proctype Fate() {
	byte j;
end_fate:
	do
	CRASH(0) HANG(0)
	CRASH(1) HANG(1)
#if N > 2
	CRASH(2) HANG(2)
#endif
	:: d_step { faults < FAULTS && boss ->  /* the supervisor crashes */
		faults++; boss = 0; zombie = 0; snap = 0;
		do
		:: j < N && parent[j] == SUP -> parent[j] = DEAD; j++
		:: j < N && parent[j] != SUP -> j++
		:: j == N -> break
		od;
		j = 0 }
	:: d_step { boss && !stop -> stop = 1; term = live; due = 0; rep = 0 } /* told to stop */
#ifdef LTL
	:: break                /* fairness must not force a fault */
#endif
	od
}

/* Without a supervisor nobody can start a worker anew. */
#define bereft (!boss && hurt)

#ifdef LTL
ltl serves  { [] <> (serving || stop || bereft) }
ltl owned   { [] <> ((own & ~hung) || stop || bereft) }
ltl ends    { [] (in(busy, 0) -> <> (!in(busy, 0) || bereft)) }
ltl settles { [] (in(pupil, 1) -> <> (!in(pupil, 1) || bereft)) }
ltl stops   { [] (stop && !faults -> <> (!live && !boss || faults)) }
#endif
