//! Dashboards: rows of panels, variables and annotations.

use nuncius_metrics::names::gateway;
use serde_json::{Value, json};

use crate::panel::{Panel, datasource};

/// Version of Grafana's model of dashboards.
const SCHEMA_VERSION: u32 = 42;
/// Columns of a dashboard.
const COLUMNS: u32 = 24;

/// A dashboard that is done.
#[derive(Debug, Clone)]
pub struct Board {
    /// Name of its file, without the ending.
    pub file: &'static str,
    /// What Grafana reads.
    pub json: Value,
}

/// A line on all panels where a query has a value.
#[derive(Debug, Clone)]
pub(crate) struct Annotation {
    pub(crate) name: &'static str,
    pub(crate) colour: &'static str,
    pub(crate) expr: String,
    /// In which `{{label}}` stands for the label's value.
    pub(crate) title: &'static str,
    /// The value is the instant, in milliseconds since 1970; else a sample marks its own.
    pub(crate) is_instant: bool,
}

/// A choice of whoever looks.
#[derive(Debug, Clone)]
pub(crate) struct Variable {
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    pub(crate) description: &'static str,
    /// As `label_values` takes it: the series, and the label whose values there are to choose from.
    pub(crate) series: String,
    pub(crate) value_of: &'static str,
    /// All may be chosen, and several.
    pub(crate) is_many: bool,
    /// The last in the alphabet comes first.
    pub(crate) is_descending: bool,
}

/// A dashboard in the making.
#[derive(Debug)]
pub(crate) struct Draft {
    file: &'static str,
    title: &'static str,
    description: &'static str,
    variables: Vec<Value>,
    annotations: Vec<Value>,
    panels: Vec<Value>,
    next_id: u32,
    /// Where the next row begins.
    y: u32,
}

impl Draft {
    pub(crate) fn new(file: &'static str, title: &'static str, description: &'static str) -> Self {
        let mut draft = Self {
            file,
            title,
            description,
            variables: vec![choice_of_datasource()],
            annotations: vec![built_in()],
            panels: Vec::new(),
            next_id: 1,
            y: 0,
        };
        draft.choose(&Variable {
            name: "namespace",
            label: "Namespace",
            description: "In Kubernetes; elsewhere there is none, and All shows everything.",
            series: gateway::SERIES.name.to_owned(),
            value_of: "namespace",
            is_many: true,
            is_descending: false,
        });
        draft
    }

    pub(crate) fn choose(&mut self, variable: &Variable) -> &mut Self {
        let query = format!("label_values({}, {})", variable.series, variable.value_of);
        let mut choice = json!({
            "name": variable.name,
            "label": variable.label,
            "description": variable.description,
            "type": "query",
            "datasource": datasource(),
            "query": { "qryType": 1, "query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery" },
            "hide": 0,
            "includeAll": variable.is_many,
            "multi": variable.is_many,
            "refresh": 2,
            "regex": "",
            "sort": if variable.is_descending { 2 } else { 1 },
            "skipUrlSync": false,
            "options": [],
        });
        if let Some(choice) = choice.as_object_mut().filter(|_| variable.is_many) {
            choice.insert("allValue".to_owned(), json!(".*"));
            choice.insert("current".to_owned(), json!({ "text": "All", "value": "$__all" }));
        }
        self.variables.push(choice);
        self
    }

    pub(crate) fn mark(&mut self, annotation: &Annotation) -> &mut Self {
        self.annotations.push(json!({
            "datasource": datasource(),
            "enable": true,
            "hide": false,
            "iconColor": annotation.colour,
            "name": annotation.name,
            "expr": annotation.expr,
            "titleFormat": annotation.title,
            "step": "15s",
            "useValueForTime": annotation.is_instant,
        }));
        self
    }

    /// A row with its panels, from left to right.
    pub(crate) fn row(&mut self, title: &str, panels: &[Panel]) -> &mut Self {
        self.row_as(title, panels, false)
    }

    /// A row that is closed until somebody opens it.
    pub(crate) fn closed_row(&mut self, title: &str, panels: &[Panel]) -> &mut Self {
        self.row_as(title, panels, true)
    }

    fn row_as(&mut self, title: &str, panels: &[Panel], is_closed: bool) -> &mut Self {
        let row_y = self.y;
        let row_id = self.take_id();
        self.y += 1;
        let (mut x, mut line_height) = (0, 0);
        let mut placed = Vec::new();
        for panel in panels {
            let (width, height) = panel.size();
            if x + width > COLUMNS {
                self.y += line_height;
                (x, line_height) = (0, 0);
            }
            let id = self.take_id();
            placed.push(panel.at(id, x, self.y));
            x += width;
            line_height = line_height.max(height);
        }
        self.y += line_height;
        // Panels of a closed row are in it, those of an open one behind it.
        let inside = if is_closed { std::mem::take(&mut placed) } else { Vec::new() };
        self.panels.push(json!({
            "id": row_id,
            "type": "row",
            "title": title,
            "collapsed": is_closed,
            "gridPos": { "h": 1, "w": COLUMNS, "x": 0, "y": row_y },
            "panels": inside,
        }));
        self.panels.append(&mut placed);
        self
    }

    fn take_id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id - 1
    }

    pub(crate) fn done(self) -> Board {
        let json = json!({
            "uid": format!("nuncius-{}", self.file),
            "title": self.title,
            "description": self.description,
            "tags": ["nuncius"],
            "editable": false,
            "graphTooltip": 1,
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "refresh": "10s",
            "timezone": "",
            "weekStart": "",
            "fiscalYearStartMonth": 0,
            "liveNow": false,
            "preload": false,
            "links": [{
                "type": "dashboards",
                "title": "Nuncius",
                "tags": ["nuncius"],
                "asDropdown": true,
                "includeVars": true,
                "keepTime": true,
                "targetBlank": false,
                "icon": "external link",
                "tooltip": "",
                "url": "",
            }],
            "time": { "from": "now-15m", "to": "now" },
            "timepicker": { "refresh_intervals": ["5s", "10s", "30s", "1m", "5m", "15m"] },
            "annotations": { "list": self.annotations },
            "templating": { "list": self.variables },
            "panels": self.panels,
        });
        Board { file: self.file, json }
    }
}

fn choice_of_datasource() -> Value {
    json!({
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "hide": 0,
        "includeAll": false,
        "multi": false,
        "refresh": 1,
        "regex": "",
        "skipUrlSync": false,
        "options": [],
    })
}

fn built_in() -> Value {
    json!({
        "builtIn": 1,
        "datasource": { "type": "grafana", "uid": "-- Grafana --" },
        "enable": true,
        "hide": true,
        "iconColor": "rgba(0, 211, 255, 1)",
        "name": "Annotations & Alerts",
        "type": "dashboard",
    })
}
