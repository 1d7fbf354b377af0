use crate::support::*;
#[test]
fn show() {
    let text = std::fs::read_to_string(std::env::var("TRY").unwrap()).unwrap();
    let mut o = options();
    o.process_environment.insert("MAX_VIRTUAL_USERS".into(), "200".into());
    o.leave_out_refused = std::env::var("LOOSE").is_ok();
    match import_with(&text, &o) {
        Ok(i) => {
            println!("{}", nuncius_schemas::document::yaml::to_yaml(&i.document));
            for k in nuncius_import::keys::grouped(&i.keys) { println!("{:12} {:3} {} {}", k.first.support.to_string(), k.count, k.pattern, k.first.note); }
            for w in &i.warnings { println!("W {w}"); }
            println!("{:?}\n{:#?}", i.environment, i.origin);
            for f in &i.files { println!("F {} {}", f.path, f.bytes.len()); }
        }
        Err(e) => println!("{e}"),
    }
}
