//! Who may do what on the bus: one user of nats-server for each kind of process, with no more than it needs.
//!
//! The table in [`grants`] is what `nuncius nats-config` writes and what docs/roles.md shows. A test takes every grant
//! away in turn, and something must fail: whatever a process does anew needs a line there, and what it does no longer
//! leaves it.

mod build;
mod config;
mod grant;
mod role;
mod table;

pub use config::in_server_words;
pub use grant::{Grant, Place, Right};
pub use role::{UserRole, inbox_prefix};

/// All that a role may do: nothing else is permitted.
pub fn grants(place: &Place, role: UserRole) -> Vec<Grant> {
    let mut grants = table::of(place, role);
    if place.domain.is_some() {
        // Servers before the domain look at what was asked for, the server of the domain at what that stands for there.
        grants.extend(table::of(&Place { domain: None, ..place.clone() }, role));
        grants.sort();
        grants.dedup_by(|a, b| (a.right, &a.subject) == (b.right, &b.subject));
    }
    grants
}

#[cfg(test)]
mod tests {
    use super::grant::matches;
    use super::*;

    #[test]
    fn no_role_hears_what_another_is_answered() {
        let place = Place::default();
        for role in UserRole::ALL {
            for grant in grants(&place, role).iter().filter(|grant| grant.right == Right::Subscribe) {
                for other in UserRole::ALL.into_iter().filter(|other| *other != role) {
                    let inbox = format!("{}.x.y", inbox_prefix(&place.namespace, other));
                    assert!(!matches(&grant.subject, &inbox), "{role} may hear {inbox} by {}", grant.subject);
                }
            }
        }
    }

    #[test]
    fn only_makers_make_streams_and_an_observer_changes_nothing() {
        let place = Place::default();
        let makes = |role: UserRole| grants(&place, role).iter().any(|grant| grant.subject.contains(".STREAM.CREATE."));
        for role in UserRole::ALL {
            // An emulator makes one bucket, its own.
            let may =
                matches!(role, UserRole::Experimentd | UserRole::Frontend | UserRole::Operator | UserRole::Emulator);
            assert_eq!(makes(role), may, "{role}");
        }
        let changes = ["$KV.", "$O.", "STREAM.CREATE", "STREAM.UPDATE", "STREAM.DELETE", "STREAM.PURGE", "MSG.DELETE"];
        for grant in grants(&place, UserRole::Observer).iter().filter(|grant| grant.right == Right::Publish) {
            let subject = grant.subject.replace(".$KV.", ".").replace(".$O.", ".");
            assert!(!changes.iter().any(|change| subject.contains(change)), "{}", grant.subject);
        }
    }

    #[test]
    fn names_of_roles_are_read_back() {
        for role in UserRole::ALL {
            assert_eq!(role.name().parse(), Ok(role));
        }
        assert!("admin".parse::<UserRole>().unwrap_err().contains("observer"));
    }
}
