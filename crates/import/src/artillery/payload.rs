//! Rows of data (`config.payload`), as Artillery reads them, in files that feeders of Nuncius read: a JSON map a line.
//!
//! A row is drawn anew for each user (`order: random`), or they follow one another (`sequence`); its fields become
//! variables of the user. With `loadAll` all of the table is one variable.

use csv_core::{ReadRecordResult, ReaderBuilder};
use nuncius_schemas::flow::{Feeder, FeederFormat, FeederOrder};
use serde_json::{Map, Value, json};

use super::human;
use super::pieces::set;
use super::state::State;
use super::view::{View, shown};
use crate::error::ImportError;
use crate::files::{Base, Wanted};

/// Most bytes of a table that is one variable: it travels in the specification.
pub const TABLE_MAX_BYTES: usize = 96 * 1024;

const KNOWN: [&str; 10] =
    ["path", "fields", "order", "skipHeader", "delimiter", "cast", "skipEmptyLines", "loadAll", "name", "options"];

/// What the rows become.
#[derive(Debug, Default)]
pub(crate) struct Payload {
    pub(crate) feeders: Vec<Feeder>,
    pub(crate) constants: Vec<(String, Value)>,
    /// Steps that every user begins with.
    pub(crate) setup: Vec<Value>,
    /// Variables that are there for certain.
    pub(crate) sure: Vec<String>,
}

/// Reads `config.payload`.
///
/// # Errors
/// A file is not there, or is no table.
pub(crate) fn read(state: &mut State<'_, '_>, config: &View<'_>) -> Result<Payload, ImportError> {
    let mut payload = Payload::default();
    let Some(view) = config.get("payload").filter(|view| !view.is_nothing()) else { return Ok(payload) };
    if !view.is_map() && !view.is_list() {
        state.ledger.approximated(view.spot(), "it is neither a map nor a list: it means nothing, as with Artillery");
        return Ok(payload);
    }
    state.ledger.supported(view.spot());
    for spec in view.listed() {
        one(state, &spec, view.is_list(), &mut payload)?;
    }
    Ok(payload)
}

fn one(state: &mut State<'_, '_>, spec: &View<'_>, is_listed: bool, payload: &mut Payload) -> Result<(), ImportError> {
    for (key, view) in spec.entries() {
        match key {
            "options" => {
                state.ledger.refused(view.spot(), "options of another reader of CSV have no meaning here");
            }
            key if KNOWN.contains(&key) => state.ledger.supported(view.spot()),
            other => state.ledger.unknown(view.spot(), other, &KNOWN),
        }
    }
    let path = spec.get("path").filter(|path| !path.is_nothing());
    let given = state.options.payload.clone().filter(|_| !is_listed);
    let (path, base) = match (given, &path) {
        (Some(path), _) => (path, Base::WorkingDirectory),
        (None, Some(view)) => match state.known(view) {
            Some(path) => (path, Base::TestFile),
            None => return Ok(()),
        },
        (None, None) => {
            state.ledger.refused(spec.spot(), "it names no file: give `path`");
            return Ok(());
        }
    };
    let wrong = |problem: String| ImportError::File { field: spec.path.clone(), path: shown(&path), problem };
    let fields: Vec<String> = spec
        .get("fields")
        .map_or_else(Vec::new, |fields| fields.listed().iter().map(|field| field.text().unwrap_or_default()).collect());
    let is_whole = spec.get("loadAll").and_then(|view| view.boolean()) == Some(true);
    let flag = |key: &str, default: bool| spec.get(key).and_then(|view| view.boolean()).unwrap_or(default);
    let form = Form {
        delimiter: spec.get("delimiter").and_then(|view| view.text()).unwrap_or_else(|| ",".to_owned()),
        skips_header: flag("skipHeader", false),
        casts: flag("cast", true),
        rows_max: state.options.payload_rows_max,
    };
    if !flag("skipEmptyLines", true)
        && let Some(view) = spec.get("skipEmptyLines")
    {
        state.ledger.approximated(view.spot(), "empty lines are always passed over");
    }
    let bytes = (state.reader)(Wanted { path: &path, base }).map_err(wrong)?;
    if bytes.len() > state.options.payload_max_bytes {
        let problem =
            format!("{} bytes, at most {} are read (payload_max_bytes)", bytes.len(), state.options.payload_max_bytes);
        return Err(wrong(problem));
    }
    let rows = form.rows(&bytes).map_err(wrong)?;
    if rows.is_empty() {
        state.ledger.refused(spec.spot(), format!("{} has no rows", shown(&path)));
        return Ok(());
    }
    if is_whole {
        whole(state, spec, &fields, rows, payload);
        return Ok(());
    }
    if fields.is_empty() {
        state.ledger.warn(spec.spot(), "it names no `fields`: its rows become no variables");
        return Ok(());
    }
    let order = match spec.get("order").and_then(|view| view.text()).as_deref() {
        Some("sequence") => {
            state.differs(
                "`order: sequence`: rows follow the users over all nodes; with Artillery each worker has its own",
            );
            FeederOrder::Sequential
        }
        None | Some("random") => FeederOrder::Random,
        Some(other) => {
            if let Some(view) = spec.get("order") {
                state.ledger.approximated(view.spot(), format!("`{}` is random to Artillery", shown(other)));
            }
            FeederOrder::Random
        }
    };
    let number = payload.feeders.len() + 1;
    let variable = state.names.own("row");
    state.script.hide(&variable);
    let names: Vec<String> = fields.iter().map(|field| state.names.of(field)).collect();
    let mut lines = Vec::new();
    for row in rows {
        let cells = names.iter().cloned().zip(row.into_iter().chain(std::iter::repeat(Value::Null)));
        lines.extend_from_slice(Value::Object(cells.collect::<Map<_, _>>()).to_string().as_bytes());
        lines.push(b'\n');
    }
    let file = state.add_file(format!("artillery/payload-{number}.jsonl"), lines);
    let mut values = Vec::new();
    for (field, name) in fields.iter().zip(&names) {
        state.assign(field);
        payload.sure.push(field.clone());
        values.push((name.clone(), Value::String(format!("{{{{ {variable}.{name} }}}}"))));
    }
    values.chunks(nuncius_schemas::spec::limits::ENTRIES_MAX).for_each(|some| payload.setup.push(set(some)));
    payload.feeders.push(Feeder {
        name: variable,
        file: Some(file),
        rows: None,
        format: Some(FeederFormat::JsonLines),
        order,
        at_end: None,
        delimiter: None,
    });
    Ok(())
}

/// All of the table as one variable.
fn whole(state: &mut State<'_, '_>, spec: &View<'_>, fields: &[String], rows: Vec<Vec<Value>>, payload: &mut Payload) {
    let Some(name) = spec.get("name").and_then(|view| view.text()).filter(|name| !name.is_empty()) else {
        state.ledger.warn(spec.spot(), "`loadAll` without a `name`: its table becomes no variable");
        return;
    };
    if let Some(order) = spec.get("order") {
        state.ledger.approximated(order.spot(), "beside `loadAll` all of the table is taken, in its order");
    }
    let row = |row: Vec<Value>| {
        if fields.is_empty() {
            return Value::Array(row);
        }
        let cells = fields.iter().cloned().zip(row.into_iter().chain(std::iter::repeat(Value::Null)));
        Value::Object(cells.collect())
    };
    let table: Value = rows.into_iter().map(row).collect();
    let bytes = table.to_string().len();
    if bytes > TABLE_MAX_BYTES {
        let note =
            format!("its table has {bytes} bytes, at most {TABLE_MAX_BYTES} travel with a specification: take rows");
        state.ledger.refused(spec.spot(), note);
        return;
    }
    state.assign(&name);
    payload.constants.push((state.names.of(&name), escaped(table)));
    payload.sure.push(name);
}

/// Data whose texts stand for themselves.
fn escaped(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(super::texts::literal(&text, false)),
        Value::Array(items) => items.into_iter().map(escaped).collect(),
        Value::Object(map) => Value::Object(map.into_iter().map(|(key, value)| (key, escaped(value))).collect()),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other,
    }
}

/// How a table is written.
struct Form {
    delimiter: String,
    skips_header: bool,
    casts: bool,
    rows_max: usize,
}

impl Form {
    /// The rows of a table.
    ///
    /// # Errors
    /// What is wrong with it.
    fn rows(&self, bytes: &[u8]) -> Result<Vec<Vec<Value>>, String> {
        let delimiter = match self.delimiter.as_bytes() {
            [byte] if byte.is_ascii() && !b"\"\r\n".contains(byte) => *byte,
            _ => {
                return Err(format!(
                    "`{}` stands between no columns: one ASCII character does",
                    shown(&self.delimiter)
                ));
            }
        };
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = ReaderBuilder::new().delimiter(delimiter).build();
        let (mut rows, mut width) = (Vec::new(), None);
        let (mut cells, mut ends) = (vec![0; 4_096], vec![0; 64]);
        let (mut filled, mut ended) = (0, 0);
        let mut rest = text.as_bytes();
        let mut is_header = self.skips_header;
        loop {
            let free = (cells.get_mut(filled..).unwrap_or_default(), ends.get_mut(ended..).unwrap_or_default());
            let (result, read, written, found) = reader.read_record(rest, free.0, free.1);
            rest = rest.get(read..).unwrap_or_default();
            filled += written;
            ended += found;
            match result {
                // At the end of what there is nothing follows.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => cells.resize(cells.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => ends.resize(ends.len() * 2, 0),
                ReadRecordResult::End => return Ok(rows),
                ReadRecordResult::Record => {
                    let mut begin = 0;
                    let mut row = Vec::with_capacity(ended);
                    for end in ends.iter().take(ended) {
                        let cell = cells.get(begin..*end).unwrap_or_default();
                        row.push(self.value(&String::from_utf8_lossy(cell)));
                        begin = *end;
                    }
                    (filled, ended) = (0, 0);
                    let expected = *width.get_or_insert(row.len());
                    if row.len() != expected {
                        let line = rows.len() + 1 + usize::from(self.skips_header);
                        return Err(format!("row {line} has {} columns, and the first one {expected}", row.len()));
                    }
                    if std::mem::take(&mut is_header) {
                        continue;
                    }
                    if rows.len() >= self.rows_max {
                        return Err(format!("more than {} rows (payload_rows_max)", self.rows_max));
                    }
                    rows.push(row);
                }
            }
        }
    }

    /// A cell: a number where it looks like one, unless it is not to be looked at.
    fn value(&self, cell: &str) -> Value {
        let is_number = self.casts
            && !cell.is_empty()
            && cell.trim() == cell
            && cell.starts_with(|c: char| c.is_ascii_digit() || "-+.".contains(c))
            && cell.bytes().any(|b| b.is_ascii_digit());
        let number = human::number(cell).filter(|number| is_number && number.is_finite());
        match number {
            Some(number) if number.fract() == 0.0 && number.abs() < 9e15 => json!(number as i64),
            Some(number) => json!(number),
            None => Value::from(cell),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str, delimiter: &str, skips_header: bool, casts: bool) -> Result<Value, String> {
        let form = Form { delimiter: delimiter.to_owned(), skips_header, casts, rows_max: 100 };
        form.rows(text.as_bytes()).map(|rows| json!(rows))
    }

    #[test]
    fn tables_are_read_with_their_quotes_and_numbers_are_numbers() {
        let text = "name,age\nAda,36\r\n\"Lovelace, A.\",\"7\"\n\nü,-1.5e1\n";
        let expected = json!([["name", "age"], ["Ada", 36], ["Lovelace, A.", 7], ["ü", -15]]);
        assert_eq!(rows(text, ",", false, true), Ok(expected));
        assert_eq!(rows("a;b\n1;007\n", ";", true, true), Ok(json!([[1, 7]])));
        assert_eq!(rows("a\n007\n", ",", true, false), Ok(json!([["007"]])));
        assert_eq!(rows("+49 30,1.0,0.5,-,e5\n", ",", false, true), Ok(json!([["+49 30", 1, 0.5, "-", "e5"]])));
        assert_eq!(rows("\u{feff}a,b", ",", false, true), Ok(json!([["a", "b"]])));
        assert_eq!(rows("", ",", false, true), Ok(json!([])));
    }

    #[test]
    fn what_is_no_table_is_told() {
        assert!(rows("a,b\n1\n", ",", false, true).unwrap_err().contains("row 2 has 1 columns, and the first one 2"));
        assert!(rows("a", "::", false, true).unwrap_err().contains("`::`"));
        assert!(rows(&"x\n".repeat(200), ",", false, true).unwrap_err().contains("more than 100 rows"));
        let form = Form { delimiter: ",".to_owned(), skips_header: false, casts: true, rows_max: 1 };
        assert!(form.rows(b"\xff").unwrap_err().contains("UTF-8"));
        let wide = format!("{}\n", vec!["x".repeat(100); 500].join(","));
        assert_eq!(rows(&wide, ",", false, true).unwrap()[0].as_array().unwrap().len(), 500);
    }

    proptest::proptest! {
        #[test]
        fn every_table_that_is_written_is_read_back(
            table in proptest::collection::vec(proptest::collection::vec("[a-z ,\"ü\n]{1,8}", 3), 1..10)
        ) {
            let line = |row: &Vec<String>| {
                row.iter().map(|cell| format!("\"{}\"", cell.replace('"', "\"\""))).collect::<Vec<_>>().join(",")
            };
            let text: Vec<String> = table.iter().map(line).collect();
            proptest::prop_assert_eq!(rows(&text.join("\n"), ",", false, true), Ok(json!(table)));
        }
    }
}
