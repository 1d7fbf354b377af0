# The part of scripts/bench about the AMQP bridge; not to be run by itself.
# shellcheck shell=bash disable=SC2154 # Variables and functions of scripts/bench.

readonly BRIDGE_MESSAGES=${BENCH_BRIDGE_MESSAGES:-60000} BRIDGE_PREFETCH=256

# bridged NAME COMMAND: how fast a program that is started when a RabbitMQ queue has all its messages puts them into the
# stream of a job queue, both of this round.
bridged() {
  local name=$1 pid
  shift
  nuncius queue create "$queue" --max-bytes 100000000 --result-bytes 100000000 >/dev/null
  "$EXAMPLES/bare_bridge" fill "$amqp_url" "$queue" "$BRIDGE_MESSAGES"
  start "bridge-$name" "$@"
  pid=$started
  client "$EXAMPLES/bare_bridge" watch "$nats_url" "nuncius_job_$queue" "$BRIDGE_MESSAGES"
  note "bridge-$name" "$(field rate "$work/out")"
  end "$pid"
  nuncius queue rm --force "$queue" >/dev/null
}

bridge_bare() {
  queue=bare-$1
  bridged bare "$EXAMPLES/bare_bridge" run "$amqp_url" "$queue" "$nats_url" "nuncius.job.$queue.0.bare" "$BRIDGE_PREFETCH"
}

bridge_nuncius() {
  queue=nuncius-$1
  bridged nuncius "$BUILT/nuncius" --nats "$nats_url" bridge --from "$amqp_url/$queue" --to "$queue" \
    --prefetch "$BRIDGE_PREFETCH"
}

bench_bridge() {
  local round broker server queue amqp_url first second
  start_nats
  server=$started
  start broker "$EXAMPLES/bare_bridge" broker
  broker=$started
  heard broker "amqp://"
  amqp_url=$(grep -m 1 amqp:// "$work/broker.out")
  for round in $(seq "$ROUNDS"); do
    # Neither always comes after the other.
    first=bridge_bare second=bridge_nuncius
    [ $((round % 2)) -eq 1 ] || first=bridge_nuncius second=bridge_bare
    "$first" "$round"
    "$second" "$round"
    note bridge-ratio "$(calc "$(tail -n 1 "$work/values/bridge-nuncius") / $(tail -n 1 "$work/values/bridge-bare")")"
  done
  end "$broker" "$server"
  say "$BRIDGE_MESSAGES messages of a RabbitMQ queue into a job queue, $BRIDGE_PREFETCH under way, $ROUNDS rounds"
  row bridge-bare "bare lapin and async-nats" /s
  row bridge-nuncius "Nuncius" /s
  row bridge-ratio "Nuncius / bare" x ge 0.8
}
