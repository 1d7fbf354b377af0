//! What changes the load of a run while it goes on.

use nuncius_report::html::escape;

use crate::frame::Frame;

/// A form to pause, resume and change the load; `groups` are the names of the run's groups.
pub(crate) fn form(within: &Frame, id: &str, groups: &[String]) -> String {
    let action = within.path(&format!("/runs/{id}/amend"));
    let mut choice = String::from("<option value=\"\">all groups</option>");
    for group in groups {
        let name = escape(group, 64);
        choice.push_str(&format!("<option value=\"{name}\">{name}</option>"));
    }
    format!(
        "<form method=\"post\" action=\"{action}\" class=\"filter\">\n\
         <label>Load <select name=\"change\"><option value=\"pause\">pause</option>\
         <option value=\"resume\">resume</option><option value=\"rate\">rate</option>\
         <option value=\"scale\">times what was written</option><option value=\"users\">users</option>\
         <option value=\"weights\">weights of scenarios</option>\
         <option value=\"end\">end it</option></select></label>\n\
         <label>Value <input name=\"value\" maxlength=\"200\" placeholder=\"200/s, 1.5, 20, buy=2\"></label>\n\
         <label>Group <select name=\"group\">{choice}</select></label>\n\
         <label>Why <input name=\"reason\" required maxlength=\"200\"></label>\n\
         <button>Change the load</button>\n</form>\n\
         <p class=\"note\">All nodes change at the same instant: at the end of the horizon up to which they have leave \
         to offer load now.</p>\n"
    )
}
