//! Tables, as Galileo's shell prints them.

/// Widths of the routing table's columns.
const ROUTE_WIDTHS: [usize; 3] = [25, 20, 9];

fn rule(widths: &[usize]) -> String {
    let parts: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
    format!("+{}+\n", parts.join("+"))
}

/// A table whose columns are as wide as their longest cell, all words to the left.
pub fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(heading.get(column).map(|cell| cell.chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!(" {cell:width$} ")).collect();
        format!("|{}|\n", cells.join("|"))
    };
    let mut text = rule(&widths) + &line(&mut heading.iter().copied()) + &rule(&widths);
    for row in rows {
        text += &line(&mut row.iter().map(String::as_str));
    }
    text + &rule(&widths)
}

/// The addresses of a service with their weights.
pub type RouteRows<'a> = (&'a str, Vec<(&'a str, f64)>);

/// The routing table: columns of one width, a rule after each service, which is named once.
pub fn routes(services: &[RouteRows<'_>]) -> String {
    let [first, second, third] = ROUTE_WIDTHS;
    let line = |service: &str, host: &str, weight: &str| {
        format!("| {service:first$} | {host:>second$} | {weight:>third$} |\n")
    };
    let mut text = rule(&ROUTE_WIDTHS) + &line("Service", "Hosts", "Weights") + &rule(&ROUTE_WIDTHS);
    for (service, hosts) in services {
        for (index, (host, weight)) in hosts.iter().enumerate() {
            text += &line(if index == 0 { service } else { "" }, host, &format!("{weight:?}"));
        }
        text += &rule(&ROUTE_WIDTHS);
    }
    text
}

/// A long cell, cut as Galileo cuts parameters: over 80 characters the first 75.
pub fn cut(cell: &str) -> String {
    match cell.chars().count() > 80 {
        true => cell.chars().take(75).collect::<String>() + " ...}",
        false => cell.to_owned(),
    }
}
