# The part of scripts/bench about job queues; not to be run by itself.
# shellcheck shell=bash disable=SC2154 # Variables and functions of scripts/bench.

# start_workers COUNT READY COMMAND: sets $workers, their processes, once each has said READY.
start_workers() {
  local count=$1 ready=$2 each
  shift 2
  workers=()
  for each in $(seq "$count"); do
    start "worker-$each" "$@"
    workers+=("$started")
  done
  for each in $(seq "$count"); do
    heard "worker-$each" "$ready"
  done
}

# bare_jobs CELL IN_FLIGHT WORKERS [early]
bare_jobs() {
  local name=${4:-bare}
  "$EXAMPLES/bare_jobs" setup "$nats_url"
  start_workers "$3" ready "$EXAMPLES/bare_jobs" worker "$nats_url" "$SLOTS" ${4:+"$4"}
  client "$EXAMPLES/bare_jobs" client "$nats_url" "$2" "$SECONDS_EACH" ${4:+"$4"}
  end "${workers[@]}"
  note "$name-$1" "$(field rate "$work/out")"
  note "$name-p50-$1" "$(field p50_us "$work/out")"
  # Nothing is left of it: the server looks over all that it holds, again and again, at the cost of whoever comes next.
  "$EXAMPLES/bare_jobs" setup "$nats_url"
}

# What the test client's control page at $1 answers to $2.
page() {
  exec 3<>"/dev/tcp/${1%:*}/${1##*:}"
  printf 'GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$2" "$1" >&3
  sed '1,/^\r$/d' <&3
  exec 3>&-
}

# The median of a part of the time of requests, in seconds, out of the statistics in $work/stats.
part_p50() { sed -n "s/.*\"$1\": *{[^}]*\"p50_seconds\": *\([-+.e0-9]*\).*/\1/p" "$work/stats"; }

# nuncius_jobs CELL IN_FLIGHT WORKERS: the same with a queue of its own each time.
nuncius_jobs() {
  local at sender rate fails p50
  queues=$((queues + 1))
  local queue=bench-$queues
  nuncius queue create "$queue" >/dev/null
  start_workers "$3" joined "$BUILT/nuncius" --nats "$nats_url" worker --queue "$queue" --slots "$SLOTS" sleep 0
  start client "$BUILT/nuncius" --nats "$nats_url" client --queue "$queue" --caddr 127.0.0.1:0 \
    --req-max "$2" --req-now "$2" -- 0
  sender=$started
  heard client "control page at"
  at=$(sed -n 's,.*control page at http://\([^/]*\)/.*,\1,p' "$work/client.out" "$work/client.err" | head -n 1)
  # As long as the bare client's.
  sleep 1
  page "$at" "/reset?type=plain" >/dev/null
  sleep "$SECONDS_EACH"
  rate=$(page "$at" "/reqs-per-sec?type=plain")
  page "$at" "/stats?type=json" >"$work/stats"
  fails=$(page "$at" "/fails?type=plain")
  end "$sender"
  end "${workers[@]}"
  nuncius queue rm --force "$queue" >/dev/null
  [ "$fails" = 0 ] || { cat "$work/stats" >&2; fail "$fails jobs failed"; }
  p50=$(part_p50 total)
  # Where it is not told, the sum of the parts' medians is near it: with one job in flight nothing waits long.
  [ -n "$p50" ] || p50="$(part_p50 run) + $(part_p50 wait) + $(part_p50 overhead)"
  note "nuncius-$1" "$rate"
  note "nuncius-p50-$1" "$(calc "($p50) * 1e6")"
}

idle_worker() {
  local pid before
  nuncius queue create bench-idle >/dev/null
  start_workers 1 joined "$BUILT/nuncius" --nats "$nats_url" worker --queue bench-idle --slots "$SLOTS" sleep 0
  pid=${workers[0]}
  sleep 2
  before=$(cpu_ms "$pid")
  sleep 20
  note idle-cpu "$(calc "$(cpu_ms "$pid") - $before")"
  note idle-resident "$(awk '$1 == "VmRSS:" { print $2 / 1024 }' "/proc/$pid/status")"
  end "$pid"
  nuncius queue rm bench-idle >/dev/null
}

bench_jobs() {
  local server round in_flight count cell label first second
  queues=0
  start_nats
  server=$started
  for round in $(seq "$ROUNDS"); do
    # Neither always comes after the other.
    first=bare_jobs second=nuncius_jobs
    [ $((round % 2)) -eq 1 ] || first=nuncius_jobs second=bare_jobs
    for in_flight in 1 16 256; do
      for count in 1 4; do
        cell=$in_flight-$count
        "$first" "$cell" "$in_flight" "$count"
        "$second" "$cell" "$in_flight" "$count"
        bare_jobs "$cell" "$in_flight" "$count" early
        note "early-jobs-$cell" \
          "$(calc "$(tail -n 1 "$work/values/nuncius-$cell") / $(tail -n 1 "$work/values/early-$cell")")"
        note "jobs-$cell" "$(calc "$(tail -n 1 "$work/values/nuncius-$cell") / $(tail -n 1 "$work/values/bare-$cell")")"
        note "jobs-p50-$cell" \
          "$(calc "$(tail -n 1 "$work/values/nuncius-p50-$cell") / $(tail -n 1 "$work/values/bare-p50-$cell")")"
      done
    done
  done
  idle_worker
  end "$server"
  say "jobs through a durable queue, workers of $SLOTS slots, $ROUNDS rounds of ${SECONDS_EACH} s"
  for in_flight in 1 16 256; do
    for count in 1 4; do
      cell=$in_flight-$count label="$in_flight in flight, $count workers"
      [ "$count" -ne 1 ] || label=${label%s}
      row "bare-$cell" "$label: bare" /s
      row "nuncius-$cell" "$label: Nuncius" /s
      row "jobs-$cell" "$label: Nuncius / bare" x ge 0.8
      row "early-jobs-$cell" "… / bare that tells before it stores" x
    done
  done
  say "latency of one job in flight, one worker, p50"
  row bare-p50-1-1 "bare async-nats" µs
  row nuncius-p50-1-1 "Nuncius" µs
  row jobs-p50-1-1 "Nuncius / bare" x lt 1.5
  say "a worker that waits for jobs, one run of 20 s"
  row idle-resident "resident" MiB lt 20
  row idle-cpu "CPU in 20 s" ms lt 100
}
