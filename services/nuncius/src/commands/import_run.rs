//! `nuncius import-run`: what `nuncius export --parquet` wrote, back into a database.

use anyhow::Result;
use nuncius_report::format::count;
use nuncius_store::Store;
use nuncius_store::import::{self, How, ImportError, Imported};

use crate::args::{Global, ImportRunArgs};
use crate::connect;
use crate::exit::Usage;
use crate::output::say;

/// `nuncius import-run`.
pub(super) async fn import_run(global: &Global, args: ImportRunArgs) -> Result<u8> {
    let store = Store::open_within(connect::database(global)?, args.records.limits()).await?;
    let how = How { id: args.id, replace: args.replace, rows_max: args.max_rows };
    let done = import::parquet(&store, &args.directory, &how).await;
    store.close().await;
    let imported = done.map_err(told)?;
    let told = serde_json::json!({
        "imported": imported.id,
        "exported_as": imported.exported_as,
        "replaced": imported.replaced,
        "seconds": imported.seconds,
        "events": imported.events,
        "records": imported.records,
        "figures": imported.figures,
    });
    say(global.json, &told, &words(&imported))?;
    Ok(0)
}

/// What is wrong with the directory is a mistake of the command line.
fn told(error: ImportError) -> anyhow::Error {
    if error.is_of_the_export() { Usage(error.to_string()).into() } else { error.into() }
}

fn words(imported: &Imported) -> String {
    let Imported { id, exported_as, replaced, seconds, events, records, figures } = imported;
    let was = if id == exported_as { String::new() } else { format!(", which was {exported_as}") };
    let place = if *replaced { " in the place of the one before" } else { "" };
    format!(
        "imported {id}{was}{place}: {} rows of seconds, {} events, {} request records, {} figures of machines",
        count(*seconds),
        count(*events),
        count(*records),
        count(*figures),
    )
}
