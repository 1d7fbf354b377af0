# The part of scripts/bench about the gateway's metrics and pages; not to be run by itself.
# shellcheck shell=bash disable=SC2154 # Variables and functions of scripts/bench.

# As many processes as BENCH_TELLING says tell 300 series each once a second, and the page is scraped.
bench_gateway() {
  local telling=${BENCH_TELLING:-200} gateway format before begun page
  start_system
  start gateway "$BUILT/nuncius" --nats "$nats_url" gateway --listen 127.0.0.1:0
  gateway=$started
  said gateway "metrics at" 20
  page=$(sed -n 's|.*metrics at http://\([^/]*\)/metrics.*|\1|p' "$work/gateway.out")
  before=$(cpu_ms "$gateway") begun=$(date +%s%N)
  start metrics_load "$EXAMPLES/metrics_load" "$nats_url" "$page" "$telling" 300 20
  wait "$started" || blame metrics_load "failed"
  unset "children[$started]"
  note gateway-cpu "$(calc "($(cpu_ms "$gateway") - $before) * 1e8 / ($(date +%s%N) - $begun)")"
  note gateway-memory "$(peak_mib "$gateway")"
  for format in text openmetrics protobuf; do
    sed -n "s/^format=$format scrape_ms=\([^ ]*\).*/\1/p" "$work/metrics_load.out" >"$work/values/scrape-$format"
  done
  end "$gateway" "$daemon"
  end "$server"
  say "$telling processes tell 300 series each once a second; a scrape every 1.1 s for 20 s"
  row gateway-cpu "gateway, of one processor" %
  row gateway-memory "gateway: peak" MiB
  row scrape-text "a scrape as text" ms lt 300
  row scrape-openmetrics "a scrape as OpenMetrics" ms lt 300
  row scrape-protobuf "a scrape as protobuf" ms lt 300
  bench_pages
}

# The first page after the start; then as many readers as BENCH_READERS says follow a run of 50 steps; then a run of
# BENCH_HOURS is opened. That a tab stays small is a test (services/gateway/tests/it/heap.rs).
bench_pages() {
  local readers=${BENCH_READERS:-200} hours=${BENCH_HOURS:-12} gateway before begun page what
  start_system
  start gateway "$BUILT/nuncius" --nats "$nats_url" gateway --listen 127.0.0.1:0
  gateway=$started
  said gateway "open http" 20
  page=$(sed -n 's|.*open http://\([^/]*\)/.*|\1|p' "$work/gateway.out")
  start pages_load "$EXAMPLES/pages_load" "$nats_url" "$page" first
  wait "$started" || blame pages_load "failed"
  unset "children[$started]"
  sed -n "s/^what=first ms=\([^ ]*\) .*/\1/p" "$work/pages_load.out" >"$work/values/pages-first"
  sed -n "s/^what=first .* bytes=\([^ ]*\)$/\1/p" "$work/pages_load.out" >"$work/values/pages-first-bytes"
  before=$(cpu_ms "$gateway") begun=$(date +%s%N)
  start pages_load "$EXAMPLES/pages_load" "$nats_url" "$page" readers "$readers" 50 20
  wait "$started" || blame pages_load "failed"
  unset "children[$started]"
  note pages-cpu "$(calc "($(cpu_ms "$gateway") - $before) * 1e8 / ($(date +%s%N) - $begun)")"
  note pages-memory "$(peak_mib "$gateway")"
  sed -n 's/.* delay_p99_ms=\([^ ]*\) .*/\1/p' "$work/pages_load.out" >"$work/values/pages-delay"
  start pages_load "$EXAMPLES/pages_load" "$nats_url" "$page" long "$hours"
  wait "$started" || blame pages_load "failed"
  unset "children[$started]"
  for what in series_first series nodes page now; do
    sed -n "s/^what=$what ms=\([^ ]*\) .*/\1/p" "$work/pages_load.out" >"$work/values/pages-$what"
    sed -n "s/^what=$what .* bytes=\([^ ]*\)$/\1/p" "$work/pages_load.out" >"$work/values/pages-$what-bytes"
  done
  end "$gateway" "$daemon"
  end "$server"
  say "$readers readers follow a run of 50 steps for 20 s; a run of $hours h is opened"
  row pages-first "the first page after the start, with its files" ms lt 200
  row pages-first-bytes "on the wire" B lt 250000
  row pages-cpu "gateway, of one processor" %
  row pages-memory "gateway: peak" MiB
  row pages-delay "from published to read, p99" ms lt 300
  row pages-series_first "series of $hours h, the first time" ms lt 2000
  row pages-series "the same again" ms
  row pages-series-bytes "its length" B lt 500000
  row pages-nodes "how nodes fared" ms
  row pages-page "the page of the run" ms lt 2000
  row pages-now "the first page" ms lt 200
  row pages-now-bytes "its length, without its files" B lt 250000
}
