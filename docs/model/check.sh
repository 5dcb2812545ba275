#!/bin/sh
# Runs Spin over upgrade.pml and supervisor.pml: every property must hold, and every
# mutant (the protocol with one rule broken) must be caught.
#
#	check.sh          what the tests run
#	check.sh full     also the liveness properties with three processes and
#	                  two faults: minutes
#
# Needs spin (6.5 or later) and a C compiler ($CC, else gcc). JOBS (2) runs at
# once are limited to 1.9 GB each. Exit status: 0 all as expected, 1 not, 2 cannot run.
set -eu

cc=${CC:-gcc}
jobs=${JOBS:-2}

# run MODEL NAME EXPECT CLAIM CC-FLAGS DEFINES...: one verification in a directory of
# its own, one line of result in $work/NAME.row. CLAIM "-" means the assertions
# and the absence of deadlock; EXPECT is "holds" or "fails".
run() {
	model=$1 name=$2 expect=$3 claim=$4 flags=$5
	shift 5
	dir=$work/$name.d
	mkdir "$dir"
	cd "$dir"
	cp "$models/$model.pml" .
	if [ "$claim" = - ]; then
		flags="$flags -DSAFETY" args=
	else
		set -- "$@" -DLTL
		args="-a -f -N $claim"
	fi
	spin -a "$@" "$model.pml" >spin.out 2>&1 &&
		"$cc" $flags -w -DCOLLAPSE -DMEMLIM=1900 -o pan pan.c >cc.out 2>&1 || {
		echo "$name: cannot build the verifier" >"$work/$name.bad"
		cat ./*.out >>"$work/$name.bad"
		return
	}
	./pan -m500000 -w20 $args >pan.out 2>&1 || true

	got=unknown
	if grep -q 'errors: 0$' pan.out && ! grep -Eqi 'max search depth|not completed|out of memory' pan.out; then
		got=holds
	elif grep -Eq '^pan:1: (assertion violated|acceptance cycle|invalid end state|end state in claim)' pan.out; then
		got=fails
	fi
	how=$(sed -n 's/^pan:1: assertion violated *//p; s/^pan:1: \(acceptance cycle\|invalid end state\).*/\1/p' pan.out |
		sed 's/ (at depth.*//; s/.*own-1.*/two owners/; s/.*master-1.*/two services/
			s/.*faults||stop.*/nobody accepts/; s/.*eaten.*/bytes read twice/
			s/.*reader-1.*/two readers/; s/.*copy.*/connection lost/; s/.*boss.*snap.*/refused/
			s/.*boss.*/no supervisor/; s/.*prog.*/unproved/; s/.*committed.*/reached/; s/^0$/reached/')
	states=$(awk '/states, stored/ { print $1; exit }' pan.out)
	seconds=$(sed -n 's/^pan: elapsed time \([^ ]*\).*/\1/p' pan.out)
	printf '%-22s %-10s %-7s %-7s %10s %8s  %s\n' \
		"$name" "$claim" "$expect" "$got" "${states:-?}" "${seconds:-?}" "$how" >"$work/$name.row"
	if [ "$got" != "$expect" ]; then
		{ echo "$name: expected that it $expect, but it $got"; tail -40 pan.out; } >"$work/$name.bad"
	fi
	cd "$work" && rm -rf "$dir"
}

if [ "${1-}" = --one ]; then
	shift
	run "$@"
	exit
fi

for tool in spin "$cc" xargs; do
	command -v "$tool" >/dev/null || {
		echo "check.sh: $tool is missing; on Debian: apt-get install spin gcc findutils" >&2
		exit 2
	}
done

models=$(cd "$(dirname "$0")" && pwd)
self=$models/$(basename "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 2' HUP INT TERM
export models work CC="$cc"

one='-DN=2 -DFAULTS=1' two='-DN=2 -DFAULTS=2'
upgrade() {
	echo "asserts-3 holds - -O2 -DN=3 -DFAULTS=2"
	for c in serves owned survives ends settles stops; do
		echo "$c-2 holds $c -O1 $two"
	done
	echo "survives-3 holds survives -O2 -DN=3 -DFAULTS=1"
	echo "move-asserts holds - -O0 $two -DMOVE"
	echo "move-read holds read -O0 $two -DMOVE"

	# The model can reach what it is about: these claims that it can't must fail.
	for w in COMMITS ROLLS_BACK TAKES_OVER; do
		echo "can-$w fails - -O0 $two -DNEVER_$w"
	done

	for m in PAUSE_EARLY SERVING_EARLY RESUME_LATE RELEASE_LATE REACQUIRE_EARLY TAKE_ON_EOF; do
		echo "$m fails - -O0 $two -D$m"
	done
	echo "UNDRAIN fails - -O0 -DN=3 -DFAULTS=2 -DUNDRAIN"
	for m in EXIT_BEFORE_READY EXIT_AFTER_READY EXIT_ON_TRIAL CHILD_EOF_FIRST HELLO_DECIDES CHILD_DEADLINE STALE_BEAT; do
		echo "$m fails survives -O0 $two -D$m"
	done
	for m in WAIT_FOREVER ABORT_ONLY BEAT_RENEWS; do
		echo "$m fails ends -O0 $two -D$m"
	done
	echo "NEVER_REACQUIRE fails owned -O0 $two -DNEVER_REACQUIRE"
	echo "STOP_IS_EXIT fails stops -O0 $two -DSTOP_IS_EXIT"
	for m in READ_FIRST EOF_FIRST TAKEN_DEADLINE TAKE_ANYHOW DROP_ON_EPIPE; do
		echo "$m fails - -O0 $two -DMOVE -D$m"
	done
	if [ "$1" = full ]; then
		for c in serves owned survives ends settles stops; do
			echo "$c-full holds $c -O2 -DN=3 -DFAULTS=2"
		done
	fi
}
supervisor() {
	echo "s-asserts holds - -O2 $two"
	for c in serves owned ends settles stops; do
		echo "s-$c holds $c -O1 $one"
	done
	for w in INHERITS EXECUTES; do
		echo "s-can-$w fails - -O0 $two -DNEVER_$w"
	done
	for m in NO_HEIR END_EARLY RESTART_EARLY DROP_SNAPSHOT SWAP_EARLY LOSE_SNAPSHOT EXEC_UNTRIED BY_PATH; do
		echo "$m fails - -O0 $two -D$m"
	done
	echo "NO_WAY_BACK fails - -O0 $one -DNO_WAY_BACK"
	for m in NEVER_RESTART NEVER_KILL EXEC_BUSY REAP_FROZEN GO_DOWN_TOO; do
		echo "$m fails serves -O0 $one -D$m"
	done
	for m in HEIR_FOREVER TAKEOVER_FOREVER; do
		echo "$m fails serves -O0 $two -D$m"
	done
	echo "STOP_RESTARTS fails stops -O0 $one -DSTOP_RESTARTS"
	if [ "$1" = full ]; then
		for c in serves owned ends settles stops; do
			echo "s-$c-full holds $c -O2 $two"
		done
	fi
}
{
	upgrade "${1-}" | sed 's/^/upgrade /'
	supervisor "${1-}" | sed 's/^/supervisor /'
} >"$work/plan"

xargs -P "$jobs" -L 1 sh "$self" --one <"$work/plan" || true

printf '%-22s %-10s %-7s %-7s %10s %8s  %s\n' run property expect got states seconds how
status=0
while read -r model name rest; do
	if [ -f "$work/$name.row" ]; then
		cat "$work/$name.row"
	fi
	if [ -f "$work/$name.bad" ] || [ ! -f "$work/$name.row" ]; then
		status=1
	fi
done <"$work/plan"
for bad in "$work"/*.bad; do
	[ -f "$bad" ] && { echo; cat "$bad"; } >&2
done
[ $status = 0 ] && echo "all as expected"
exit $status
