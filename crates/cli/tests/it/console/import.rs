//! The page that imports a file of rules.

use super::{Answer, Console};
use crate::support::{Run, TestServer};

const HEADER: &str = "app,from,to,effect,note\n";

/// Chooses a file and sends the form. Returns the answer.
fn send(console: &Console, name: &str, file: &str, fields: &[(&str, &str)]) -> Answer {
    let part = |name: &str, content: &str| {
        format!("--boundary\r\nContent-Disposition: form-data; name={name}\r\n\r\n{content}\r\n")
    };
    let others: String = fields.iter().map(|(name, value)| part(&format!("\"{name}\""), value)).collect();
    let body = part(&format!("\"file\"; filename=\"{name}\""), file) + &others + "--boundary--\r\n";
    let (host, cookie, length) = (console.address, &console.cookie, body.len());
    console.send(&format!(
        "POST /import HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nCookie: {cookie}\r\nContent-Type: \
         multipart/form-data; boundary=boundary\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    ))
}

/// Chooses a file. Returns the address of its page.
fn upload(console: &Console, name: &str, file: &str, fields: &[(&str, &str)]) -> String {
    send(console, name, file, fields).is(303).header("location").unwrap().to_owned()
}

/// The page of a file when the work on it has ended.
fn wait(console: &Console, path: &str) -> Answer {
    wait_for(console, path, |page| !page.body.contains("data-live"))
}

fn wait_for(console: &Console, path: &str, is_reached: impl Fn(&Answer) -> bool) -> Answer {
    super::wait_for(console, path, is_reached)
}

/// Sends the form that writes, with more fields.
fn write(console: &Console, path: &str, page: &Answer, more: &[(&str, &str)]) -> Answer {
    let action = format!("{path}/write");
    console.send_form(page, (&action, "Write "), more)
}

fn rules(server: &TestServer) -> Run {
    server.run("export --format csv").succeeds()
}

#[test]
fn a_file_with_problems_is_refused_with_its_problems_by_kind() {
    let server = TestServer::with_table();
    let console = Console::over(&server, &[]);
    console.get("/import").is(200).shows("Nothing is written before you have seen what would change");
    let file = format!("{HEADER}shop,1.5E+10,PPP005,allow,\nshop,PPP001,PPP002,alow,\nshop,PPP001,PPP003,<b>,\n");
    let path = upload(&console, "rules.csv", &file, &[]);
    let page = wait(&console, &path)
        .shows("3 problems in the file. Nothing was written.")
        .shows("is how a spreadsheet shortens a number")
        .shows("1.5E+10")
        .shows("3, 4")
        .shows("must be `allow`, `deny` or `block`");
    assert!(!page.body.contains("action=\"/import/1/write\""), "{}", page.body);
    assert_eq!(server.stored().len(), 0);
    send(&console, "", "", &[]).is(400).shows("No file was chosen");
    send(&console, "rules.txt", "PPP1", &[("template", "block {}")]).is(400).shows("Name the app");
    send(&console, "rules.txt", "PPP1", &[("template", "block"), ("app", "shop")]).is(400);
}

#[test]
fn the_difference_is_shown_and_then_written() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from PPP001 --to PPP002").succeeds();
    server.run("allow --app shop --from PPP001 --to PPP003").succeeds();
    let console = Console::over(&server, &[]);
    let file = format!(
        "{HEADER}shop,PPP001,PPP002,deny,\nshop,PPP001,PPP003,allow,\nshop,PPP009,PPP005,allow,<img src=x>\u{202e}txt\n"
    );
    let path = upload(&console, "<i>\u{202e}rules.csv", &file, &[]);
    let page = wait(&console, &path)
        .shows("Import <i>\\u{202e}rules.csv")
        .shows("1 rule would be added, 1 changed, 0 removed; 1 stay as they are.")
        .shows("added: allow PPP009 to PPP005 (<img src=x>\\u{202e}txt) in app shop")
        .shows("changed: deny PPP001 to PPP002 in app shop It is: allow PPP001 to PPP002 in app shop");
    assert!(!page.body.contains("<img src=x>") && !page.body.contains("<i>") && !page.body.contains('\u{202e}'));
    rules(&server).does_not_print("PPP009");
    write(&console, &path, &page, &[]).is(303);
    let written = wait(&console, &path).shows("Imported: 2 rules written, 1 unchanged.");
    assert!(!written.body.contains("/write\""), "{}", written.body);
    rules(&server).prints("shop,PPP009,PPP005,allow").prints("shop,PPP001,PPP002,deny");
    server.run("history --app shop").succeeds().prints("console: import");
    // The result is still there after a reload, and in another tab.
    console.get(&path).is(200).shows("Imported: 2 rules written");
    console.get("/import").is(200).shows("The last file: <i>\\u{202e}rules.csv");
    // The same file again changes nothing.
    let again = upload(&console, "rules.csv", &file, &[]);
    wait(&console, &again).shows("There is nothing to write");
}

#[test]
fn removals_and_unknown_apps_are_to_be_confirmed() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from PPP001 --to PPP002").succeeds();
    let console = Console::over(&server, &[]);
    let file = format!("{HEADER}shop,PPP009,PPP005,allow,\nshpo,PPP009,PPP005,allow,\n");
    let path = upload(&console, "rules.csv", &file, &[("replace", "yes")]);
    let page = wait(&console, &path)
        .shows("removed: allow PPP001 to PPP002 in app shop")
        .shows("Remove 1 rule of these apps that are not in the file")
        .shows("App shpo is meant, although nothing is stored for it; similar: shop");
    write(&console, &path, &page, &[("new-app", "shpo")]).is(400).shows("confirm that 1 rule will be removed");
    write(&console, &path, &page, &[("remove", "yes")]).is(400).shows("confirm that app `shpo` is meant");
    rules(&server).prints("PPP001").does_not_print("PPP009");
    write(&console, &path, &page, &[("remove", "yes"), ("new-app", "shpo")]).is(303);
    wait(&console, &path).shows("Imported: 2 rules written, 1 removed.");
    rules(&server).prints("shpo,PPP009").does_not_print("PPP001");
    // A file without rules names no app.
    let path = upload(&console, "rules.csv", HEADER, &[("replace", "yes")]);
    wait(&console, &path).shows("names no app whose rules would be replaced");
}

#[test]
fn a_difference_that_is_no_longer_true_is_not_written() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from PPP001 --to PPP002").succeeds();
    let console = Console::over(&server, &[]);
    let file = format!("{HEADER}shop,PPP009,PPP005,allow,\n");
    let path = upload(&console, "rules.csv", &file, &[("replace", "yes")]);
    let page = wait(&console, &path);
    server.run("allow --app shop --from PPP007 --to PPP008").succeeds();
    write(&console, &path, &page, &[("remove", "yes")]).is(303);
    let second = wait(&console, &path)
        .shows("The table changed since the file was compared with it. Nothing was written")
        .shows("removed: allow PPP007 to PPP008")
        .shows("Remove 2 rules");
    rules(&server).prints("PPP001").prints("PPP007").does_not_print("PPP009");
    // A tab that shows the first difference cannot write the second one.
    write(&console, &path, &page, &[("remove", "yes")]).is(409).shows("look at the difference");
    write(&console, &path, &second, &[("remove", "yes")]).is(303);
    wait(&console, &path).shows("Imported: 1 rule written, 2 removed.");
}

#[test]
fn a_file_of_numbers_fills_a_list() {
    let server = TestServer::with_table();
    server.run("block --app shop +15550100101 --list other").succeeds();
    server.run("block --app shop +15550100102 --list spam").succeeds();
    let console = Console::over(&server, &[]);
    let fields = [("app", "shop"), ("list", "spam"), ("template", "block {}, until 30d"), ("replace", "yes")];
    let path = upload(&console, "numbers.txt", "# spam\n+1 (555) 010-0199\n", &fields);
    let page = wait(&console, &path)
        .shows("callgatectl import numbers.txt --app shop --list spam --as 'block {}, until 30d' --replace")
        .shows("Remove 1 rule of the list that are not in the file");
    write(&console, &path, &page, &[("remove", "yes")]).is(303);
    wait(&console, &path).shows("Imported: 1 rule written, 1 removed.");
    rules(&server).prints("shop,+15550100199,*,block").prints("shop,+15550100101").does_not_print("+15550100102");
}

#[test]
fn writing_is_cancelled_and_continued() {
    let server = TestServer::with_table();
    // Functions may use the app's rules as they were before this deny, so an import that permits more waits.
    server.run("deny --app shop --from '+881*' --to '*'").succeeds();
    let console = Console::over(&server, &["--app-cache-seconds", "3600"]);
    let file = format!("{HEADER}shop,+881*,*,deny,\nshop,PPP009,PPP005,allow,\n");
    let path = upload(&console, "rules.csv", &file, &[]);
    let page = wait(&console, &path);
    write(&console, &path, &page, &[]).is(303);
    let running = wait_for(&console, &path, |page| page.text().contains("Waiting "));
    assert!(running.body.contains("<progress"), "{}", running.body);
    console.post(&format!("{path}/cancel"), &[]).is(303);
    wait(&console, &path).shows("0 of 1 rules are written or removed. It was cancelled.");
    rules(&server).does_not_print("PPP009");
    console.post(&format!("{path}/compare"), &[]).is(303);
    wait(&console, &path).shows("1 rule would be added");
}

#[test]
fn only_the_last_files_are_kept_and_a_file_can_be_discarded() {
    let server = TestServer::with_table();
    let console = Console::over(&server, &[]);
    let file = format!("{HEADER}shop,PPP009,PPP005,allow,\n");
    let paths: Vec<_> = (0..6)
        .map(|_| {
            let path = upload(&console, "rules.csv", &file, &[]);
            wait(&console, &path);
            path
        })
        .collect();
    console.get(&paths[0]).is(404).shows("no longer kept");
    console.post(&format!("{}/write", paths[0]), &[]).is(404);
    console.get(&paths[1]).is(200);
    console.post(&format!("{}/discard", paths[1]), &[]).is(303);
    console.get(&paths[1]).is(404);
    console.get("/import/x").is(400);
}

#[test]
fn a_read_only_console_imports_nothing() {
    let server = TestServer::with_table();
    let console = Console::over(&server, &["--read-only"]);
    console.get("/import").is(200).shows("read-only").does_not_show("Check the file");
    send(&console, "rules.csv", HEADER, &[]).is(403);
}
