# The part of scripts/bench about the cost of tracing; not to be run by itself.
# shellcheck shell=bash disable=SC2154 # Variables and functions of scripts/bench.

# traced MODE RATIO SLOWEST: one run of a node that exports its spans, except in mode off; notes what its processor time
# was good for, and how many spans it lost.
traced() {
  local mode=$1 ratio=$2 slowest=$3 id node before succeeded
  local environment=(OTEL_EXPORTER_OTLP_ENDPOINT="http://$address")
  [ "$mode" != off ] || environment=(OTEL_SDK_DISABLED=true)
  traced_runs=$((traced_runs + 1))
  id=tracing-$traced_runs
  start "$id" env "${environment[@]}" "$BUILT/nuncius" --nats "$nats_url" client --name "$id" --threads 1
  node=$started
  heard "$id" joined
  cat >"$work/traced.yaml" <<SPEC
id: $id
lag_limit: 10s
run_delay_limit: 1.0
heartbeat_limit: 1h
trace_ratio: $ratio
trace_slowest: $slowest
groups: [{target: '$url', users: $CONNECTIONS, duration: ${SECONDS_EACH}s}]
SPEC
  before=$(cpu_ms "$node")
  nuncius --data "$work/data" run "$work/traced.yaml" --quiet --report-json "$work/traced.json" >/dev/null 2>"$work/err" ||
    { cat "$work/err" >&2; fail "$id did not pass"; }
  succeeded=$(sed -n 's/^ *"succeeded": \([0-9]*\),/\1/p' "$work/traced.json" | head -n 1)
  note "traced-$mode" "$(calc "$succeeded * 1000 / ($(cpu_ms "$node") - $before)")"
  end "$node"
}

bench_tracing() {
  local round mode server daemon
  start_nginx
  start_system
  traced_runs=0
  for round in $(seq "$ROUNDS"); do
    traced off 0 0
    traced zero 0 3
    traced one 0.01 3
    traced all 1 3
    for mode in zero one all; do
      note "kept-$mode" "$(calc "100 * $(tail -n 1 "$work/values/traced-$mode") / $(tail -n 1 "$work/values/traced-off")")"
    done
  done
  end "$daemon"
  end "$server"
  say "requests per CPU-second of a whole node with tracing, $CONNECTIONS connections, $ROUNDS rounds of ${SECONDS_EACH} s"
  row traced-off "no telemetry" /CPU-s
  row traced-zero "telemetry, the 3 slowest of each second" /CPU-s
  row traced-one "telemetry, 1 % of the requests" /CPU-s
  row traced-all "telemetry, every request" /CPU-s
  row kept-zero "kept with the slowest alone" %
  row kept-one "kept at 1 %" % ge 97
  row kept-all "kept at 100 %" %
}
