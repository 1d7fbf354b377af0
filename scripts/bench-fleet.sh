# The part of scripts/bench about large fleets; not to be run by itself.
# shellcheck shell=bash disable=SC2154 # Variables and functions of scripts/bench.

# said NAME TEXT SECONDS: as heard, for what may take longer.
said() {
  local until=$((SECONDS + $3))
  until grep -q "$2" "$work/$1.out" "$work/$1.err"; do
    [ "$SECONDS" -lt "$until" ] || blame "$1" "does not say \"$2\" within $3 s"
    sleep 0.1
  done
}

# What a process has taken of memory at most, in MiB.
peak_mib() { awk '$1 == "VmHWM:" { print $2 / 1024 }' "/proc/$1/status"; }

# follow ID PROCESS...: waits until the experiment is under way, then notes the processor time of each process, in
# percent of one processor, over ten seconds of it, as cpu-<name>; waits for its end.
follow() {
  local id=$1 pid begun before=()
  shift
  said daemon "all have answered the start" 120
  sleep 3
  for pid in "$@"; do before+=("$(cpu_ms "$pid")"); done
  begun=$(date +%s%N)
  sleep 10
  for pid in "$@"; do
    note "cpu-${children[$pid]}" \
      "$(calc "($(cpu_ms "$pid") - ${before[0]}) * 1e8 / ($(date +%s%N) - $begun)")"
    before=("${before[@]:1}")
  done
  nuncius watch "$id" >"$work/watched" 2>&1 || true
}

# A server and a daemon with nothing in them; sets $server and $daemon.
start_system() {
  rm -rf "$work/ports" "$work/store" "$work/data"
  start_nats
  server=$started
  start daemon env RUST_LOG=info,nuncius_experimentd::start=debug \
    "$BUILT/nuncius" --nats "$nats_url" --data "$work/data" experimentd
  daemon=$started
  said daemon "taking experiments" 20
}

# start_clients COUNT: real nodes, once all have joined; sets $clients.
start_clients() {
  local each
  clients=()
  for each in $(seq "$1"); do
    start "client-$each" "$BUILT/nuncius" --nats "$nats_url" client --name "c$each"
    clients+=("$started")
  done
  for each in $(seq "$1"); do said "client-$each" joined 120; done
}

# verdict ID: what its report says, and that it is as it should be.
verdict() {
  nuncius report "$1" --json >"$work/report" 2>/dev/null || { cat "$work/watched" >&2; fail "no report of $1"; }
  grep -q '"verdict": *"pass"' "$work/report" || { cat "$work/watched" >&2; fail "$1 did not pass"; }
}

# Simulated nodes, as many as BENCH_NODES says: all that the daemon and the bus have to do with them.
bench_simulated() {
  local nodes=${BENCH_NODES:-10000} processes=4 each server slowest whole
  start_system
  local fleet=()
  for each in $(seq "$processes"); do
    start "fleet-$each" "$EXAMPLES/fleet" "$nats_url" $((nodes / processes)) $(((each - 1) * nodes / processes))
    fleet+=("$started")
  done
  for each in $(seq "$processes"); do said "fleet-$each" "^joined=" 120; done
  slowest=$(for each in $(seq "$processes"); do field join_ms "$work/fleet-$each.out"; done | sort -g | tail -n 1)
  note fleet-join "$(calc "$slowest / 1000")"
  cat >"$work/fleet.yaml" <<YAML
id: fleet
seed: 1
heartbeat_limit: 1h
groups:
- target: http://127.0.0.1:9/
  rate: $nodes/s
  duration: 20s
YAML
  nuncius submit "$work/fleet.yaml" >/dev/null
  follow fleet "$daemon" "$server"
  verdict fleet
  for each in prepare_ms clocks_ms start_ms let_go_ms; do
    note "fleet-$each" "$(field "$each" "$work/daemon.err")"
  done
  note fleet-daemon "$(peak_mib "$daemon")"
  note fleet-server "$(peak_mib "$server")"
  end "${fleet[@]}"
  end "$daemon"
  end "$server"
  whole=$(cat "$work"/fleet-*.out | grep -c failed=0)
  say "$nodes simulated nodes in $processes processes ($whole of them without a failure), each telling once a second, 20 s"
  row fleet-join "all have joined after" s
  row fleet-prepare_ms "all are ready after" ms
  row fleet-clocks_ms "all clocks are measured after" ms
  row fleet-start_ms "a round of commands: start" ms lt 1000
  row fleet-let_go_ms "a round of commands: first horizon" ms lt 1000
  row cpu-daemon "daemon, of one processor" %
  row cpu-nats-server "nats-server, of one processor" %
  row fleet-daemon "daemon: peak" MiB lt 1024
  row fleet-server "nats-server: peak" MiB
}

# Real nodes: as many processes as BENCH_PROCESSES says offer 2,000 requests a second together.
bench_processes() {
  local processes=${BENCH_PROCESSES:-200} clients each server stub begun
  start_system
  start stub "$BUILT/nuncius" emulator stub --listen 127.0.0.1:0
  stub=$started
  listening stub
  begun=$SECONDS
  start_clients "$processes"
  note processes-join $((SECONDS - begun))
  cat >"$work/processes.yaml" <<YAML
id: processes
lag_limit: 1s
run_delay_limit: 1.0
heartbeat_limit: 1h
groups:
- target: http://$address/
  rate: 2000/s
  duration: 20s
YAML
  nuncius submit "$work/processes.yaml" >/dev/null
  follow processes "$daemon" "$server"
  verdict processes
  note processes-memory "$(for each in "${clients[@]}"; do peak_mib "$each"; done | sort -g | tail -n 1)"
  end "${clients[@]}"
  end "$stub" "$daemon"
  end "$server"
  say "$processes client processes at 2,000/s together for 20 s: passed"
  row processes-join "all have joined after" s
  row processes-memory "the largest client: peak" MiB
}

# A route is changed while as many real nodes as BENCH_ROUTE_NODES says offer load: how long until all go by it.
bench_routes() {
  local nodes=${BENCH_ROUTE_NODES:-100} clients each first second round
  start_system
  start stub "$BUILT/nuncius" emulator stub --listen 127.0.0.1:0
  stub=$started
  listening stub
  first=$address
  start other "$BUILT/nuncius" emulator stub --listen 127.0.0.1:0
  local other=$started
  listening other
  second=$address
  start_clients "$nodes"
  nuncius route set shop "$first" >/dev/null
  cat >"$work/routes.yaml" <<YAML
id: routes
lag_limit: 1s
run_delay_limit: 1.0
heartbeat_limit: 1h
groups:
- target: http://shop/
  rate: 1000/s
  duration: 20s
YAML
  nuncius submit "$work/routes.yaml" >/dev/null
  said daemon "all have answered the start" 120
  sleep 5
  for round in $(seq 4); do
    if [ $((round % 2)) = 1 ]; then nuncius route set shop "$second"; else nuncius route set shop "$first"; fi >/dev/null
    sleep 2
  done
  nuncius watch routes >"$work/watched" 2>&1 || true
  verdict routes
  for each in $(python3 - "$work/report" <<'PYTHON'
import json, sys
for event in json.load(open(sys.argv[1]))["events"]:
    if "after_ns" in event.get("data", {}):
        print(int(event["data"]["after_ns"]) / 1e6)
PYTHON
  ); do note routes-all_ms "$each"; done
  end "${clients[@]}"
  end "$stub" "$other" "$daemon"
  end "$server"
  say "a route is changed four times under $nodes client processes at 1,000/s together: passed, nothing failed"
  row routes-all_ms "all nodes go by a change after" ms lt 1000
}

# The largest plan that is taken, 64 groups of 64 steps, and 100,000 experiments that a store holds.
bench_bounds() {
  local stub step group client idle
  start_system
  start stub "$BUILT/nuncius" emulator stub --listen 127.0.0.1:0
  stub=$started
  listening stub
  start client "$BUILT/nuncius" --nats "$nats_url" client --name wide
  client=$started
  said client joined 20
  {
    printf 'id: wide\nlag_limit: 1s\nrun_delay_limit: 1.0\nheartbeat_limit: 1h\ngroups:\n'
    for group in $(seq 64); do
      printf -- '- name: g%s\n  target: http://%s/\n  rate: 1/s\n  duration: 20s\n  steps:\n' "$group" "$address"
      for step in $(seq 64); do printf -- '  - path: /%s\n' "$step"; done
    done
  } >"$work/wide.yaml"
  nuncius submit "$work/wide.yaml" >/dev/null
  follow wide "$daemon" "$server"
  verdict wide
  note wide-cpu "$(tail -n 1 "$work/values/cpu-daemon")"
  note wide-daemon "$(peak_mib "$daemon")"
  note wide-client "$(peak_mib "$client")"
  end "$client" "$stub" "$daemon"
  # As many more as there may be, each with its report, of which only the id differs.
  python3 - "$work/data/nuncius.db" <<'PYTHON'
import sqlite3, sys
store = sqlite3.connect(sys.argv[1])
columns = [row[1] for row in store.execute("PRAGMA table_info(experiment)")]
values = ", ".join("'stored-' || number" if name == "id" else "'{}'" if name in ("spec", "report") else name for name in columns)
store.execute(f"""WITH RECURSIVE numbers(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < 100000)
  INSERT INTO experiment ({", ".join(columns)}) SELECT {values} FROM experiment, numbers WHERE id = 'wide'""")
store.commit()
PYTHON
  idle=$(date +%s%N)
  start daemon "$BUILT/nuncius" --nats "$nats_url" --data "$work/data" experimentd
  daemon=$started
  said daemon "taking experiments" 60
  note stored-start_ms "$(calc "($(date +%s%N) - $idle) / 1e6")"
  sleep 5
  note stored-daemon "$(peak_mib "$daemon")"
  idle=$(date +%s%N)
  "$BUILT/nuncius" --nats "$nats_url" --data "$work/data" ps --all >"$work/listed"
  note stored-list_ms "$(calc "($(date +%s%N) - $idle) / 1e6")"
  end "$daemon"
  end "$server"
  say "64 groups of 64 steps at 4,096 requests a second, 20 s: passed; then a store of 100,000 experiments"
  row wide-cpu "daemon, of one processor" %
  row wide-daemon "daemon: peak with 4,096 steps" MiB lt 1024
  row wide-client "client: peak with 4,096 steps" MiB
  row stored-start_ms "daemon on 100,000 experiments: ready after" ms
  row stored-daemon "daemon on 100,000 experiments: peak" MiB lt 256
  row stored-list_ms "the latest of them listed in" ms
}

bench_fleet() {
  bench_simulated
  bench_processes
  bench_bounds
}
