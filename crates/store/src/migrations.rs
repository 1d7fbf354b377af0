//! The tables, version by version, of each database. A number that was released never changes, nor does its text.

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};

use crate::error::StoreError;

fn migrator(texts: &[(&'static str, &'static str)]) -> Migrator {
    let migration = |(version, (description, sql)): (i64, &(&'static str, &'static str))| {
        Migration::new(version, (*description).into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations((1..).zip(texts).map(migration).collect())
}

pub(crate) fn sqlite() -> Migrator {
    migrator(&[
        ("experiments", include_str!("../migrations/sqlite/0001_experiments.sql")),
        ("seconds", include_str!("../migrations/sqlite/0002_seconds.sql")),
        ("owners", include_str!("../migrations/sqlite/0003_owners.sql")),
        ("telemetry", include_str!("../migrations/sqlite/0004_telemetry.sql")),
        ("second histograms", include_str!("../migrations/sqlite/0005_second_histograms.sql")),
        ("portable", include_str!("../migrations/sqlite/0006_portable.sql")),
        ("tags", include_str!("../migrations/sqlite/0007_tags.sql")),
        ("record files", include_str!("../migrations/sqlite/0008_record_files.sql")),
        ("record host", include_str!("../migrations/sqlite/0009_record_host.sql")),
    ])
}

pub(crate) fn postgres() -> Migrator {
    migrator(&[
        ("first", include_str!("../migrations/postgres/0001_first.sql")),
        ("tags", include_str!("../migrations/postgres/0002_tags.sql")),
        ("record files", include_str!("../migrations/postgres/0003_record_files.sql")),
        ("record host", include_str!("../migrations/postgres/0004_record_host.sql")),
    ])
}

pub(crate) fn mysql() -> Migrator {
    migrator(&[
        ("first", include_str!("../migrations/mysql/0001_first.sql")),
        ("tags", include_str!("../migrations/mysql/0002_tags.sql")),
        ("record files", include_str!("../migrations/mysql/0003_record_files.sql")),
        ("record host", include_str!("../migrations/mysql/0004_record_host.sql")),
    ])
}

/// The latest version.
pub(crate) fn newest(migrator: &Migrator) -> i64 {
    migrator.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// What it means that tables cannot be brought to this version.
pub(crate) fn failed(store: String, migrator: &Migrator, source: MigrateError) -> StoreError {
    match source {
        MigrateError::VersionMissing(version) => StoreError::Newer { store, version, newest: newest(migrator) },
        source => StoreError::Migrate { store, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_released_migration_never_changes() {
        let told = |migrator: Migrator| -> Vec<String> {
            let sum = |migration: &Migration| -> String {
                migration.checksum.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
            };
            migrator.iter().map(sum).collect()
        };
        let known = "b0cc3094e7be564a 38f17a9e39524900 8ef1f3f294f89b38 8711809f1c8e71d8 e340e565442549d8 \
                     eeec5bc39928fd59 fe7015430eb63c00 01b84ef7f43e448e 713d3b340762b523";
        assert_eq!(told(sqlite()).join(" "), known);
        assert_eq!(told(postgres()), ["cf15c434cca1473a", "d3267c4bcfb2ace6", "e383b9fca5354425", "713d3b340762b523"]);
        assert_eq!(told(mysql()), ["fd502122126db3e5", "9d5e0f2b7f639805", "9ec5de5e6c4cd46b", "232d631d2637339f"]);
    }
}
