# The part of scripts/bench about whole nodes, beside bare programs and Artillery; not to be run by itself.
# shellcheck shell=bash disable=SC2154 # Variables and functions of scripts/bench.

# Each side on a processor of its own: left alone, the system now and then puts both on one, where each message of the
# client gives way to the server. `aside` is for servers that run already.
servers_on=(env) nodes_on=(env)
if [ "$(nproc)" -gt 1 ]; then servers_on=(taskset -c 0) nodes_on=(taskset -c 1); fi
aside() {
  local process
  [ "${servers_on[0]}" = taskset ] || return 0
  for process in "$@"; do taskset -acp 0 "$process" >/dev/null; done
}

# start_node: a node of one thread, as the bare programs are; sets $node.
start_node() {
  experiments=$((${experiments:-0} + 1))
  local name=node-$experiments
  start "$name" "${nodes_on[@]}" "$BUILT/nuncius" --nats "$nats_url" client --name "$name" --threads 1
  node=$started
  heard "$name" joined
}

# The fields of an experiment on a machine that also runs what it is compared with: nothing here makes it invalid, and a
# few iterations are enough to judge it.
lenient() { printf 'lag_limit: 10s\nrun_delay_limit: 1.0\nheartbeat_limit: 1h\ngates: [failures < 50%%]\n'; }

# on_node FILE OPTION...: runs an experiment, or a test of Artillery, on a node of its own; sets $spent, the seconds of
# processor time of that node from its joining to the end, and leaves the report in $work/report.json. That a run is
# invalid (4) says that the machine was busy, and is told by the load average.
on_node() {
  local before status=0
  start_node
  before=$(cpu_ms "$node")
  nuncius --data "$work/data" run "$@" --quiet --report-json "$work/report.json" \
    >"$work/out" 2>"$work/err" || status=$?
  [ "$status" -eq 0 ] || [ "$status" -eq 4 ] || { cat "$work/out" "$work/err" >&2; fail "$1 did not pass"; }
  spent=$(calc "($(cpu_ms "$node") - $before) / 1000")
  end "$node"
}

# succeeded STEP: how often a step succeeded, of the report in $work/report.json.
succeeded() {
  python3 - "$work/report.json" "$1" <<'PYTHON'
import json, sys
report = json.load(open(sys.argv[1]))
print(sum(step["succeeded"] for group in report["groups"] for step in group["steps"] if step["name"] == sys.argv[2]))
PYTHON
}

# ratio NAME OF TO: the latest figure of one name over the latest of another.
ratio() { note "$1" "$(calc "$(tail -n 1 "$work/values/$2") / $(tail -n 1 "$work/values/$3")")"; }

# Ends a bare program, which does not know how to.
discard() {
  kill -KILL "$1"
  wait "$1" 2>/dev/null || true
  unset "children[$1]"
}

bare_echo() {
  client "${nodes_on[@]}" "$EXAMPLES/bare_ws" echo "$address" "$CONNECTIONS" "$SECONDS_EACH"
  note bare-echo "$(calc "$(field messages "$work/out") / $cpu")"
}

nuncius_echo() {
  { lenient; cat; } >"$work/echo.yaml" <<YAML
groups:
- target: http://$address/
  users: $CONNECTIONS
  duration: ${SECONDS_EACH}s
  steps:
  - ws: {connect: /}
  - loop:
      count: 1000
      steps:
      - name: echo
        ws: {send: '{"say":"hello","user":"{{ user() }}"}', wait: []}
YAML
  on_node "$work/echo.yaml"
  note nuncius-echo "$(calc "$(succeeded echo) / $spent")"
}

# waiting USERS: the resident memory, in KiB, of a node whose users each have a WebSocket open and wait; sets $resident.
waiting() {
  local echo
  start bare_ws "${servers_on[@]}" "$EXAMPLES/bare_ws" serve
  echo=$started
  listening bare_ws
  start_node
  { lenient; cat; } >"$work/waiting.yaml" <<YAML
id: waiting-$experiments
groups:
- target: http://$address/
  users: $1
  duration: 1h
  steps:
  - ws: {connect: /}
  - ws: {wait: [], timeout: 1h}
YAML
  nuncius submit "$work/waiting.yaml" >/dev/null
  said bare_ws "^open=$1\$" 60
  # What was needed to open them is given back within a second or two.
  sleep 5
  resident=$(awk '$1 == "VmRSS:" { print $2 }' "/proc/$node/status")
  nuncius cancel "waiting-$experiments" >/dev/null
  nuncius watch "waiting-$experiments" >"$work/watched" 2>&1 || true
  end "$node"
  discard "$echo"
}

bench_websocket() {
  local round few server daemon
  start_system
  aside "$server" "$daemon"
  start bare_ws "${servers_on[@]}" "$EXAMPLES/bare_ws" serve
  local echo=$started
  listening bare_ws
  for round in $(seq "$ROUNDS"); do
    if [ $((round % 2)) -eq 1 ]; then bare_echo; nuncius_echo; else nuncius_echo; bare_echo; fi
    ratio echo-ratio nuncius-echo bare-echo
  done
  discard "$echo"
  for round in $(seq 3); do
    waiting 100
    few=$resident
    waiting 10000
    note waiting "$(calc "($resident - $few) / 9900")"
    note waiting-node "$(calc "$resident / 1024")"
  done
  end "$daemon"
  end "$server"
  say "WebSocket echo, messages of a whole node, $CONNECTIONS connections, $ROUNDS rounds of $SECONDS_EACH s"
  row bare-echo "bare tokio-tungstenite" /CPU-s
  row nuncius-echo "Nuncius" /CPU-s
  row echo-ratio "Nuncius / bare" x ge 0.8
  say "10,000 users of one node who each have a WebSocket open and wait, 3 rounds"
  row waiting-node "resident" MiB
  row waiting "each, over a node with 100 of them" KiB lt 20
}

# bare_publish NAME [request]
bare_publish() {
  client "${nodes_on[@]}" "$EXAMPLES/bare_acks" publish "$nats_url" "$CONNECTIONS" "$SECONDS_EACH" ${2:+"$2"}
  note "$1" "$(calc "$(field published "$work/out") / $cpu")"
  note "$1-rate" "$(field rate "$work/out")"
}

nuncius_publish() {
  { lenient; cat; } >"$work/publish.yaml" <<YAML
groups:
- target: $nats_url
  users: $CONNECTIONS
  duration: ${SECONDS_EACH}s
  steps:
  - loop:
      count: 50
      steps:
      - name: publish
        nats: {publish: bench.acks, body: '{"order":"hello","user":"{{ user() }}"}', jetstream: true}
YAML
  on_node "$work/publish.yaml"
  local published
  published=$(succeeded publish)
  note nuncius-publish "$(calc "$published / $spent")"
  note nuncius-publish-rate "$(calc "$published / $SECONDS_EACH")"
}

bench_publish() {
  local round name server daemon
  start_system
  aside "$server" "$daemon"
  "$EXAMPLES/bare_acks" setup "$nats_url"
  for round in $(seq "$ROUNDS"); do
    if [ $((round % 2)) -eq 1 ]; then bare_publish bare-publish; nuncius_publish
    else nuncius_publish; bare_publish bare-publish; fi
    bare_publish request-publish request
    for name in publish publish-rate; do
      ratio "$name-ratio" "nuncius-$name" "bare-$name"
      ratio "$name-request" "nuncius-$name" "request-$name"
    done
  done
  end "$daemon"
  end "$server"
  say "NATS, publish and await the acknowledgement, $CONNECTIONS in flight, $ROUNDS rounds of $SECONDS_EACH s"
  row bare-publish "bare async-nats" /CPU-s
  row nuncius-publish "Nuncius" /CPU-s
  row publish-ratio "Nuncius / bare" x ge 0.8
  row publish-request "Nuncius / bare requests" x
  row bare-publish-rate "bare async-nats" /s
  row nuncius-publish-rate "Nuncius" /s
  row publish-rate-ratio "Nuncius / bare" x ge 0.8
  row publish-rate-request "Nuncius / bare requests" x
}

# artillery USERS OPTION...: runs the test with Artillery; $cpu is what it took, its start included.
artillery() {
  local users=$1
  shift
  client "$TOOLS/node_modules/.bin/artillery" run --quiet --target "http://$address" "$@" \
    --output "$work/artillery.json" scripts/bench-artillery.yaml
  all_answered "$users"
}

# all_answered USERS: whether each of them came to the end, of the report in Artillery's form.
all_answered() {
  python3 - "$work/artillery.json" "$1" <<'PYTHON' || fail "not all users came to the end of the test of Artillery"
import json, sys
counters = json.load(open(sys.argv[1]))["aggregate"]["counters"]
answered = sum(count for name, count in counters.items() if name.startswith("http.codes.2"))
if counters["vusers.completed"] != int(sys.argv[2]) or answered != 10 * int(sys.argv[2]):
    sys.exit(f"{counters}")
PYTHON
}

bench_artillery() {
  local round server daemon stub users=1000 began
  start_system
  start stub "$BUILT/nuncius" emulator stub --listen 127.0.0.1:0
  stub=$started
  listening stub
  for round in $(seq 3); do
    artillery 1 --solo
    began=$cpu
    artillery "$users"
    note artillery "$(calc "10 * $users / $cpu")"
    note artillery-begun "$(calc "10 * $users / ($cpu - $began)")"
    on_node scripts/bench-artillery.yaml --target "http://$address" --output "$work/artillery.json"
    all_answered "$users"
    note nuncius-artillery "$(calc "10 * $users / $spent")"
    ratio artillery-ratio nuncius-artillery artillery
    ratio artillery-begun-ratio nuncius-artillery artillery-begun
  done
  end "$stub" "$daemon"
  end "$server"
  say "a test of Artillery, ten requests of $users users in 10 s, 3 rounds"
  row artillery "$ARTILLERY" /CPU-s
  row artillery-begun "… without its start" /CPU-s
  row nuncius-artillery "Nuncius" /CPU-s
  row artillery-ratio "Nuncius / Artillery" x ge 10
  row artillery-begun-ratio "Nuncius / Artillery without its start" x ge 10
}

# As many clients as BENCH_CLIENTS says decide for themselves when to send, on one node.
bench_clients() {
  local count=${BENCH_CLIENTS:-10000} round stub server daemon
  start_system
  start stub "${servers_on[@]}" "$BUILT/nuncius" emulator stub --listen 127.0.0.1:0
  stub=$started
  aside "$server" "$daemon"
  listening stub
  { lenient; cat; } >"$work/clients.yaml" <<YAML
groups:
- target: http://$address/
  clients: {count: $count, interarrival: [expovariate, 1]}
  duration: 15s
YAML
  for round in $(seq "$ROUNDS"); do
    on_node "$work/clients.yaml"
    read -r lag_p50 lag_p99 sent resident < <(python3 - "$work/report.json" <<'PYTHON'
import json, sys
report = json.load(open(sys.argv[1]))
step, node = report["groups"][0]["steps"][0], report["nodes"][0]
lag = {one["quantile"]: one["value_ns"] / 1e3 for one in step["quantities"]["lag"]["quantiles"]}
print(lag[0.5], lag[0.99], step["succeeded"], node["resident_bytes_max"] / 2**20)
PYTHON
    )
    note clients-lag_p50 "$lag_p50"
    note clients-lag_p99 "$lag_p99"
    note clients-rate "$(calc "$sent / 15")"
    note clients-resident "$resident"
    note clients-cpu "$(calc "$spent * 1e6 / $sent")"
  done
  end "$stub" "$daemon"
  end "$server"
  say "$count clients of one node, each a request a second at exponential intervals, $ROUNDS rounds of 15 s"
  row clients-rate "requests" /s
  row clients-lag_p50 "lag p50" µs
  row clients-lag_p99 "lag p99" µs
  row clients-cpu "node: processor time per request" µs
  row clients-resident "node: resident memory" MiB
}
