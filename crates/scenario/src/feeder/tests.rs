//! Rows from bytes.

use std::io::{self, Cursor, Read, Seek, SeekFrom};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const CSV: Format = Format::Csv { delimiter: b',' };

/// A source that gives few bytes at a time and counts what it is asked for.
struct Slow {
    bytes: Cursor<Vec<u8>>,
    piece: usize,
    reads: usize,
}

impl Slow {
    fn new(bytes: &[u8], piece: usize) -> Self {
        Self { bytes: Cursor::new(bytes.to_vec()), piece, reads: 0 }
    }
}

impl Read for Slow {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        if self.reads.is_multiple_of(5) {
            return Err(io::Error::from(io::ErrorKind::Interrupted));
        }
        let length = out.len().min(self.piece);
        self.bytes.read(&mut out[..length])
    }
}

impl Seek for Slow {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(to)
    }
}

fn all(bytes: &[u8], format: Format) -> Result<Vec<Value>, FeederError> {
    let index = RowIndex::build(&mut &bytes[..], format)?;
    let (mut source, mut buffer) = (Cursor::new(bytes), RowBuffer::new());
    (0..index.rows()).map(|row| index.read_row(&mut source, &mut buffer, row)).collect()
}

#[test]
fn csv_is_read_as_people_write_it() {
    let rows = json!([{"user": "ada", "note": "a, \"b\"\nc"}, {"user": " bob ", "note": ""}]);
    for text in [
        "user,note\nada,\"a, \"\"b\"\"\nc\"\n bob ,\n",
        "\u{feff}user,note\r\nada,\"a, \"\"b\"\"\nc\"\r\n\r\n bob ,",
        "\n\n user , note \n\nada,\"a, \"\"b\"\"\nc\"\n bob ,\"\"\n\n\n",
        "\"user\",\"note\"\rada,\"a, \"\"b\"\"\nc\"\r bob ,\r",
    ] {
        assert_eq!(Value::Array(all(text.as_bytes(), CSV).unwrap()), rows, "{text:?}");
    }
    let tabs = all(b"a\tb\n1\t2,3\n", Format::csv('\t').unwrap()).unwrap();
    assert_eq!(tabs, [json!({"a": "1", "b": "2,3"})]);
    let index = RowIndex::build(&mut &b"b,a\n1,2\n"[..], CSV).unwrap();
    assert_eq!(index.columns().collect::<Vec<_>>(), ["b", "a"]);
}

#[test]
fn lines_of_json_keep_their_types() {
    let text = "\u{feff}{\"id\": 1, \"tags\": [\"x\"]}\r\n\n  \n{\"id\": \"2\"}";
    let rows = all(text.as_bytes(), Format::JsonLines).unwrap();
    assert_eq!(rows, [json!({"id": 1, "tags": ["x"]}), json!({"id": "2"})]);
}

#[test]
fn what_is_not_as_it_should_be_is_named_by_its_line() {
    let long = format!("a\n1\n\"{}", "x".repeat(ROW_MAX_BYTES + 1));
    let wide = vec!["1"; COLUMNS_MAX + 1].join(",");
    let open = format!("a\nb\n\"{}", "x\n".repeat(ROW_MAX_BYTES));
    for (text, format, words) in [
        ("", CSV, "the data has no rows"),
        ("a,b\n", CSV, "the data has no rows"),
        ("\n\n", Format::JsonLines, "the data has no rows"),
        ("a,b\n1,2\n\n3\n", CSV, "line 4: 1 values where the first line names 2 columns"),
        ("a,b\r\n\"1\n1\",2\r\n1,2,3\r\n", CSV, "line 4: 3 values where the first line names 2 columns"),
        ("a,,b\n", CSV, "column 2: it has no name"),
        ("a,b, a\n", CSV, "column 3: another column has its name"),
        (&wide, CSV, "line 1: more than 1000 columns"),
        (&long, CSV, "line 3: a row of more than 1048576 bytes; in CSV a quote may be open"),
        (&open, CSV, "line 3: a row of more than 1048576 bytes"),
        (&"x".repeat(ROW_MAX_BYTES + 1), Format::JsonLines, "line 1: a row of more than"),
        ("{\"a\": 1}\n\n[1]\n", Format::JsonLines, "line 3: not a JSON map"),
        ("{\"a\": 1}\n{\"s3cret\": ", Format::JsonLines, "line 2: not a JSON map"),
    ] {
        let error = all(text.as_bytes(), format).unwrap_err().to_string();
        assert!(error.starts_with(words) && !error.contains("s3cret"), "{error}");
    }
    // Two bytes of one character in two values.
    for (bytes, format) in
        [(&b"a,b\n\xc3,\xa4\n"[..], CSV), (b"a\n\xff\n", CSV), (b"{}\n{\"\xff\": 1}", Format::JsonLines)]
    {
        let error = all(bytes, format).unwrap_err().to_string();
        assert!(error.starts_with("line 2: not UTF-8"), "{error}");
    }
    for delimiter in ['"', '\n', 'ü'] {
        assert!(Format::csv(delimiter).is_err());
    }
}

#[test]
fn a_row_that_is_not_there_or_was_changed_is_an_error() {
    let index = RowIndex::build(&mut &b"a,b\n1,2\n3,4\n"[..], CSV).unwrap();
    let mut buffer = RowBuffer::new();
    let mut source = Cursor::new(b"a,b\n1,2\n3;4\n".to_vec());
    for (row, words) in [
        (2, "row 2 of 2 is not there"),
        (u64::MAX, "is not there"),
        (1, "row 1 (it was another when the file was read first): 1 values where"),
    ] {
        let error = index.read_row(&mut source, &mut buffer, row).unwrap_err().to_string();
        assert!(error.starts_with(words) || error.ends_with(words), "{error}");
    }
    let mut short = Cursor::new(b"a,b\n1,2\n".to_vec());
    let error = index.read_row(&mut short, &mut RowBuffer::new(), 1).unwrap_err().to_string();
    assert_eq!(error, "row 1 of 2 is not there");
}

#[test]
fn of_many_rows_some_places_are_kept_and_every_row_is_found() {
    let mut text = "number,text\n".to_owned();
    for row in 0..10_000 {
        text.push_str(&format!("{row},\"line\n{row}\"\n"));
    }
    let mut source = Slow::new(text.as_bytes(), 1_000);
    let index = index::RowIndex::build_with(&mut source, CSV, 16, 777).unwrap();
    assert_eq!(index.rows(), 10_000);
    let mut buffer = RowBuffer::new();
    for row in [0, 9_999, 1, 5_000, 5_001, 5_002, 4_999, 1_023, 1_024, 1_025, 0] {
        let found = index.read_row(&mut source, &mut buffer, row).unwrap();
        assert_eq!(found, json!({"number": row.to_string(), "text": format!("line\n{row}")}));
    }
}

#[test]
fn neighbours_are_read_without_reading_again() {
    let text = format!("a\n{}", "value\n".repeat(1_000));
    let index = RowIndex::build(&mut text.as_bytes(), CSV).unwrap();
    let (mut source, mut buffer) = (Slow::new(text.as_bytes(), 1 << 20), RowBuffer::new());
    for row in 0..1_000 {
        index.read_row(&mut source, &mut buffer, row).unwrap();
    }
    assert!(source.reads <= 4, "{}", source.reads);
}

proptest! {
    #[test]
    fn any_values_come_back_from_csv_whatever_the_pieces(
        values in proptest::collection::vec(("[^\\x00]{0,12}", "(\"|,|\n|\r|\u{feff}|a){0,8}"), 1..20),
        piece in 1usize..40, chunk in 1usize..50, offsets in 1usize..9,
        order in proptest::collection::vec(any::<usize>(), 1..20),
    ) {
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let mut text = "first,second\n".to_owned();
        for (first, second) in &values {
            text.push_str(&format!("{},{}\r\n", quoted(first), quoted(second)));
        }
        let mut source = Slow::new(text.as_bytes(), piece);
        let index = index::RowIndex::build_with(&mut source, CSV, offsets, chunk).unwrap();
        prop_assert_eq!(index.rows(), values.len() as u64);
        let mut buffer = RowBuffer::new();
        for row in order {
            let row = row % values.len();
            let (first, second) = &values[row];
            let found = index.read_row(&mut source, &mut buffer, row as u64).unwrap();
            prop_assert_eq!(found, json!({"first": first, "second": second}));
        }
    }

    #[test]
    fn any_maps_come_back_from_lines_of_json(
        values in proptest::collection::vec((any::<String>(), any::<i64>()), 1..20),
        piece in 1usize..40, offsets in 1usize..9,
    ) {
        let rows: Vec<Value> = values.iter().map(|(text, number)| json!({"text": text, "number": number})).collect();
        let text: String = rows.iter().map(|row| format!("{row}\n\n")).collect();
        let mut source = Slow::new(text.as_bytes(), piece);
        let index = index::RowIndex::build_with(&mut source, Format::JsonLines, offsets, 30).unwrap();
        let mut buffer = RowBuffer::new();
        for (number, row) in rows.iter().enumerate().rev() {
            prop_assert_eq!(&index.read_row(&mut source, &mut buffer, number as u64).unwrap(), row);
        }
    }

    #[test]
    fn whatever_the_bytes_are_nothing_panics_and_rows_do_not_depend_on_the_pieces(
        bytes in "(\"|,|\n|\r|a|b|\u{feff}|\\{|\\}|:|1| |ü){0,60}", cut in any::<u8>(), piece in 1usize..9,
    ) {
        // Some of it is no UTF-8.
        let mut bytes = bytes.into_bytes();
        if let Some(byte) = bytes.get_mut(usize::from(cut)) {
            *byte = 0xff;
        }
        for format in [CSV, Format::JsonLines] {
            let whole = all(&bytes, format);
            let mut source = Slow::new(&bytes, piece);
            match (&whole, index::RowIndex::build_with(&mut source, format, 2, 4)) {
                (Ok(rows), Ok(index)) => {
                    let mut buffer = RowBuffer::new();
                    for (number, row) in rows.iter().enumerate() {
                        prop_assert_eq!(&index.read_row(&mut source, &mut buffer, number as u64).unwrap(), row);
                    }
                }
                (Err(_), Err(_)) => {}
                (left, right) => prop_assert!(false, "{:?} {:?}", left, right),
            }
        }
    }
}
