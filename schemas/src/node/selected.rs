//! Nodes that a selection means.

use crate::node::NodeInfo;
use crate::spec::NodeSelection;

/// The nodes that a selection means among those that `are_meant`, by name.
///
/// # Errors
/// When `names` is no regular expression.
pub fn selected<'a>(
    nodes: &'a [NodeInfo],
    selection: &NodeSelection,
    are_meant: impl Fn(&NodeInfo) -> bool,
) -> Result<Vec<&'a NodeInfo>, regex::Error> {
    let names = selection.names.as_ref().map(|names| regex::Regex::new(&format!("^(?:{names})$"))).transpose()?;
    let most = selection.count.map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(usize::MAX));
    let mut matching: Vec<&NodeInfo> = nodes
        .iter()
        .filter(|node| are_meant(node))
        .filter(|node| selection.labels.iter().all(|(label, value)| node.labels.get(label) == Some(value)))
        .filter(|node| names.as_ref().is_none_or(|names| names.is_match(&node.name)))
        .collect();
    matching.sort_by(|a, b| a.name.cmp(&b.name));
    matching.truncate(most);
    Ok(matching)
}
