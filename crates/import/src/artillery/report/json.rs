//! The file of `artillery run --output`.

use serde_json::{Map, Number, Value, json};

use crate::artillery::metrics::{ArtilleryMetrics, Metrics, Summary};

/// All of it: `aggregate`, and `intermediate` period by period.
pub fn to_json(metrics: &ArtilleryMetrics) -> Value {
    let intermediate: Vec<Value> = metrics.periods.iter().map(of).collect();
    json!({ "aggregate": of(&metrics.aggregate), "intermediate": intermediate })
}

fn of(metrics: &Metrics) -> Value {
    let summaries: Map<String, Value> =
        metrics.summaries.iter().map(|(name, summary)| (name.clone(), summary_of(summary))).collect();
    let mut made = json!({
        "counters": metrics.counters,
        "rates": metrics.rates,
        "summaries": summaries,
        // There they are the same objects.
        "histograms": summaries,
        "period": metrics.period_unix_ms,
    });
    if let (Some(map), Some(first), Some(last)) = (made.as_object_mut(), metrics.first_unix_ms, metrics.last_unix_ms) {
        let mut told = vec![("firstCounterAt", first), ("lastCounterAt", last)];
        if !metrics.summaries.is_empty() {
            told.extend([("firstHistogramAt", first), ("lastHistogramAt", last)]);
        }
        told.extend([("firstMetricAt", first), ("lastMetricAt", last)]);
        map.extend(told.into_iter().map(|(name, at)| (name.to_owned(), Value::from(at))));
    }
    made
}

fn summary_of(summary: &Summary) -> Value {
    let figures = summary.figures().map(|(name, figure)| (name.to_owned(), number(figure)));
    Value::Object(figures.into_iter().collect())
}

/// As JavaScript writes it: a whole number has no point.
fn number(figure: f64) -> Value {
    if figure.fract() == 0.0 && figure.abs() < 9e15 {
        return Value::from(figure as i64);
    }
    Number::from_f64(figure).map_or(Value::Null, Value::Number)
}
