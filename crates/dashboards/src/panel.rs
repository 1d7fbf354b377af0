//! Panels: what is shown of some queries, and how.

use nuncius_metrics::{Metric, Unit};
use serde_json::{Value, json};

/// The data source that the person who looks has chosen.
pub(crate) fn datasource() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

/// A query and what its series are called.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    expr: String,
    legend: String,
    has_exemplars: bool,
}

/// A query whose series are called `legend`, in which `{{label}}` stands for the label's value.
pub(crate) fn query(legend: &str, expr: impl Into<String>) -> Query {
    Query { expr: expr.into(), legend: legend.to_owned(), has_exemplars: false }
}

impl Query {
    /// With the traces of single requests as points.
    pub(crate) fn with_exemplars(mut self) -> Self {
        self.has_exemplars = true;
        self
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// One number, and how it went.
    Stat,
    /// One name: that of the series that is there.
    Name,
    /// Lines over time.
    Lines,
    /// Areas on top of each other.
    Stack,
    /// Buckets over time.
    Heat,
    /// Which series was there when.
    States,
    /// The labels of each series, now.
    Table,
}

/// A panel that has no place yet.
#[derive(Debug, Clone)]
pub(crate) struct Panel {
    look: Look,
    title: String,
    description: String,
    unit: &'static str,
    queries: Vec<Query>,
    width: u32,
    height: u32,
    /// Colours of series, by their names.
    colours: Vec<(&'static str, &'static str)>,
    has_max_of_one: bool,
}

fn panel(look: Look, title: &str, description: &str, unit: &'static str, queries: Vec<Query>) -> Panel {
    let (width, height) = match look {
        Look::Stat | Look::Name => (3, 4),
        Look::Lines | Look::Stack | Look::Heat | Look::Table => (12, 8),
        Look::States => (24, 5),
    };
    let (title, description) = (title.to_owned(), description.to_owned());
    Panel { look, title, description, unit, queries, width, height, colours: Vec::new(), has_max_of_one: false }
}

/// One number.
pub(crate) fn stat(title: &str, description: &str, unit: &'static str, expr: impl Into<String>) -> Panel {
    panel(Look::Stat, title, description, unit, vec![query("", expr)])
}

/// The name of the series that is there.
pub(crate) fn name(title: &str, description: &str, legend: &str, expr: impl Into<String>) -> Panel {
    panel(Look::Name, title, description, "short", vec![query(legend, expr)])
}

/// Lines over time.
pub(crate) fn lines(title: &str, description: &str, unit: &'static str, queries: Vec<Query>) -> Panel {
    panel(Look::Lines, title, description, unit, queries)
}

/// Areas on top of each other, over time.
pub(crate) fn stack(title: &str, description: &str, unit: &'static str, queries: Vec<Query>) -> Panel {
    panel(Look::Stack, title, description, unit, queries)
}

/// Buckets over time, in seconds.
pub(crate) fn heat(title: &str, description: &str, expr: impl Into<String>) -> Panel {
    panel(Look::Heat, title, description, "s", vec![query("{{le}}", expr)])
}

/// Which series was there when.
pub(crate) fn states(title: &str, description: &str, legend: &str, expr: impl Into<String>) -> Panel {
    panel(Look::States, title, description, "short", vec![query(legend, expr)])
}

/// The labels of each series, as they are now.
pub(crate) fn table(title: &str, description: &str, expr: impl Into<String>) -> Panel {
    panel(Look::Table, title, description, "short", vec![query("", expr)])
}

/// How Grafana calls a unit.
pub(crate) fn unit(metric: &Metric) -> &'static str {
    match metric.unit {
        Unit::None | Unit::Cores => "short",
        Unit::Seconds => "s",
        Unit::Bytes => "bytes",
        Unit::Ratio => "percentunit",
        Unit::Celsius => "celsius",
        Unit::Watts => "watt",
        Unit::Joules => "joule",
        Unit::Hertz => "hertz",
        Unit::Volts => "volt",
        Unit::Amperes => "amp",
        Unit::BytesPerSecond => "Bps",
        Unit::BitsPerSecond => "bps",
        Unit::DecibelMilliwatts => "dBm",
    }
}

/// How Grafana calls what a counter grows by in a second.
pub(crate) fn rate_unit(metric: &Metric) -> &'static str {
    match metric.unit {
        Unit::Bytes => "Bps",
        // Seconds in a second.
        Unit::Seconds => "percentunit",
        Unit::Joules => "watt",
        Unit::None
        | Unit::Ratio
        | Unit::Celsius
        | Unit::Watts
        | Unit::Hertz
        | Unit::Volts
        | Unit::Amperes
        | Unit::BytesPerSecond
        | Unit::BitsPerSecond
        | Unit::DecibelMilliwatts
        | Unit::Cores => "ops",
    }
}

impl Panel {
    /// In columns, of 24, and lines.
    pub(crate) fn sized(mut self, width: u32, height: u32) -> Self {
        (self.width, self.height) = (width, height);
        self
    }

    pub(crate) fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// With colours for series of these names.
    pub(crate) fn coloured(mut self, colours: &[(&'static str, &'static str)]) -> Self {
        self.colours.extend_from_slice(colours);
        self
    }

    /// A share: the scale ends at 1.
    pub(crate) fn of_one(mut self) -> Self {
        self.has_max_of_one = true;
        self
    }

    /// As Grafana reads it.
    pub(crate) fn at(&self, id: u32, x: u32, y: u32) -> Value {
        let targets: Vec<Value> =
            self.queries.iter().zip('A'..='Z').map(|(query, letter)| self.target(query, letter)).collect();
        json!({
            "id": id,
            "type": self.kind(),
            "title": self.title,
            "description": self.description,
            "datasource": datasource(),
            "gridPos": { "h": self.height, "w": self.width, "x": x, "y": y },
            "fieldConfig": { "defaults": self.defaults(), "overrides": self.overrides() },
            "options": self.options(),
            "targets": targets,
        })
    }

    fn kind(&self) -> &'static str {
        match self.look {
            Look::Stat | Look::Name => "stat",
            Look::Lines | Look::Stack => "timeseries",
            Look::Heat => "heatmap",
            Look::States => "state-timeline",
            Look::Table => "table",
        }
    }

    fn target(&self, query: &Query, letter: char) -> Value {
        let is_now = self.look == Look::Table;
        let format = match self.look {
            Look::Heat => "heatmap",
            Look::Table => "table",
            Look::Stat | Look::Name | Look::Lines | Look::Stack | Look::States => "time_series",
        };
        json!({
            "refId": letter.to_string(),
            "datasource": datasource(),
            "editorMode": "code",
            "expr": query.expr,
            "legendFormat": query.legend,
            "format": format,
            "range": !is_now,
            "instant": is_now,
            "exemplar": query.has_exemplars,
        })
    }

    fn defaults(&self) -> Value {
        let thresholds = json!({ "mode": "absolute", "steps": [{ "color": "text", "value": null }] });
        match self.look {
            Look::Stat | Look::Name => json!({
                "unit": self.unit,
                "color": { "mode": "thresholds" },
                "mappings": [],
                "thresholds": thresholds,
            }),
            Look::Lines | Look::Stack => {
                let stacking = if self.look == Look::Stack { "normal" } else { "none" };
                let opacity = if self.look == Look::Stack { 40 } else { 8 };
                let mut defaults = json!({
                    "unit": self.unit,
                    "color": { "mode": "palette-classic" },
                    "custom": {
                        "drawStyle": "line",
                        "lineInterpolation": "linear",
                        "lineWidth": 1,
                        "fillOpacity": opacity,
                        "showPoints": "never",
                        "spanNulls": false,
                        "stacking": { "mode": stacking, "group": "A" },
                    },
                });
                // What may be below 0 shows it.
                if self.unit != "dBm" && self.unit != "celsius" {
                    put(&mut defaults, "min", json!(0));
                }
                if self.has_max_of_one {
                    put(&mut defaults, "max", json!(1));
                }
                defaults
            }
            Look::Heat => json!({ "custom": { "scaleDistribution": { "type": "linear" } } }),
            Look::States => json!({
                "color": { "mode": "palette-classic-by-name" },
                "custom": { "fillOpacity": 70, "lineWidth": 0 },
                "mappings": [{ "type": "value", "options": { "1": { "index": 0, "text": "here" } } }],
                "thresholds": thresholds,
            }),
            Look::Table => json!({ "unit": self.unit, "color": { "mode": "thresholds" }, "thresholds": thresholds }),
        }
    }

    fn overrides(&self) -> Vec<Value> {
        let colour = |(name, colour): &(&str, &str)| {
            json!({
                "matcher": { "id": "byName", "options": name },
                "properties": [{ "id": "color", "value": { "mode": "fixed", "fixedColor": colour } }],
            })
        };
        let hidden = ["Time", "Value", "namespace"].map(|name| {
            json!({
                "matcher": { "id": "byName", "options": name },
                "properties": [{ "id": "custom.hidden", "value": true }],
            })
        });
        let hidden = if self.look == Look::Table { hidden.to_vec() } else { Vec::new() };
        self.colours.iter().map(colour).chain(hidden).collect()
    }

    fn options(&self) -> Value {
        match self.look {
            Look::Stat | Look::Name => json!({
                "reduceOptions": { "calcs": ["lastNotNull"], "fields": "", "values": false },
                "colorMode": "value",
                "graphMode": if self.look == Look::Name { "none" } else { "area" },
                "justifyMode": "auto",
                "textMode": if self.look == Look::Name { "name" } else { "auto" },
                "orientation": "auto",
            }),
            Look::Lines | Look::Stack => json!({
                "legend": {
                    "displayMode": "table",
                    "placement": "right",
                    "showLegend": true,
                    "calcs": ["lastNotNull", "max"],
                },
                "tooltip": { "mode": "multi", "sort": "desc" },
            }),
            Look::Heat => json!({
                "calculate": false,
                "cellGap": 1,
                "color": {
                    "mode": "scheme",
                    "scheme": "Oranges",
                    "steps": 64,
                    "reverse": false,
                    "exponent": 0.5,
                    "fill": "dark-orange",
                },
                "exemplars": { "color": "rgba(255,0,255,0.7)" },
                "filterValues": { "le": 1e-9 },
                "legend": { "show": true },
                "rowsFrame": { "layout": "auto" },
                "showValue": "never",
                "tooltip": { "mode": "single", "yHistogram": false, "showColorScale": false },
                "yAxis": { "axisPlacement": "left", "reverse": false, "unit": self.unit },
                "cellValues": { "unit": "short" },
            }),
            Look::States => json!({
                "alignValue": "left",
                "mergeValues": true,
                "rowHeight": 0.8,
                "showValue": "never",
                "legend": { "displayMode": "list", "placement": "bottom", "showLegend": false },
                "tooltip": { "mode": "single", "sort": "none" },
            }),
            Look::Table => json!({ "cellHeight": "sm", "showHeader": true }),
        }
    }
}

fn put(object: &mut Value, key: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}
