//! The routing table.

use nuncius_report::html::{escape, table};
use nuncius_schemas::route::Route;

use crate::frame::{Frame, frame};

/// The page.
pub fn page(within: &Frame, routes: &[Route]) -> String {
    let mut body = String::from("<h1 class=\"title\">Routes</h1>\n<section>\n");
    if routes.is_empty() {
        body.push_str("<p class=\"note\">No service has a route.</p>\n");
    } else {
        let rows: Vec<Vec<String>> = routes.iter().map(|route| row(within, route)).collect();
        body.push_str(&table(&["service", "addresses (weight)", "kept by", ""], &rows, &[1, 2, 3]));
    }
    body.push_str("</section>\n");
    if within.may_administer {
        body.push_str(&format!(
            "<section>\n<h2>Set a route</h2>\n<form method=\"post\" action=\"{}\" class=\"filter\">\n\
             <label>Service <input name=\"service\" required maxlength=\"128\"></label>\n\
             <label class=\"wide\">Addresses <input name=\"hosts\" required \
             placeholder=\"10.0.0.7:8080=3 10.0.0.8:8080\"></label>\n\
             <label>Why <input name=\"reason\" required maxlength=\"200\"></label>\n<button>Set</button>\n</form>\n\
             </section>\n",
            within.path("/routes")
        ));
    }
    frame(within, "Routes", "/routes", &body)
}

fn row(within: &Frame, route: &Route) -> Vec<String> {
    let hosts: Vec<String> = route.hosts.iter().map(|host| format!("{} ({})", host.address, host.weight)).collect();
    let remove = match within.may_administer && route.owner.is_none() {
        true => format!(
            "<form method=\"post\" action=\"{}\" class=\"short\"><input name=\"reason\" aria-label=\"Why\" \
             placeholder=\"why\" required maxlength=\"200\"> <button class=\"danger\">Remove</button></form>",
            within.path(&format!("/routes/{}/remove", route.service))
        ),
        false => String::new(),
    };
    vec![
        escape(&route.service, 128),
        escape(&hosts.join(", "), 600),
        escape(route.owner.as_deref().unwrap_or("a person"), 128),
        remove,
    ]
}
