//! While an import runs, fails or is killed, a running hook permits no call that both the old and the new rules refuse.

use std::io::{Read as _, Write as _};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::proxy::{Treatment, start_proxy};
use crate::serve::{ServeProcess, status};
use crate::support::{TABLE, TestServer, tool};

/// Old and new rules that both refuse [`REFUSED`], each for another reason.
const OLD: &str = "\
app,from,to,effect
shop,3*,*,allow
shop,3*,20,deny
shop,60,20,deny
shop,50,20,allow
shop,51,20,allow
shop,4*,20,deny
shop,40,20,allow
shop,2*,*,deny
shop,2*,20,allow
";
const NEW: &str = "\
app,from,to,effect
shop,1*,*,deny
shop,1*,20,allow
shop,6*,*,deny
shop,60,20,allow
shop,70,20,allow
shop,51,20,allow
shop,41,20,allow
shop,9*,*,allow
shop,9*,20,deny
";
const REFUSED: [&str; 7] = ["100", "300", "60", "42", "80", "21", "90"];

/// Asks the hook about a call to 20.
fn is_permitted(hook: &ServeProcess, caller: &str) -> bool {
    let body = json!({"appKey": "shop", "caller": caller, "callee": "20"}).to_string();
    let answer = hook.post("/OnCallEvent", &body);
    match status(&answer) {
        "200" => true,
        "403" => false,
        _ => panic!("{answer}"),
    }
}

#[track_caller]
fn check_refused(hook: &ServeProcess, moment: &str) {
    for caller in REFUSED {
        assert!(!is_permitted(hook, caller), "{caller} to 20 was permitted {moment}");
    }
}

/// What happens at one of the writes of an import.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Trouble {
    None,
    /// The process is killed before the server receives the write, or after.
    KilledBefore(usize),
    KilledAfter(usize),
    /// This and every later request is refused.
    Refused(usize),
    /// This and every later request gets no answer.
    CutOff(usize),
}

/// An import of [`NEW`] over [`OLD`] with trouble, during which the hook is asked before and after every write.
struct Import {
    server: TestServer,
    hook: Arc<ServeProcess>,
    app_cache_seconds: &'static str,
}

/// What the proxy saw.
#[derive(Clone, Default)]
struct Watched {
    writes: usize,
    /// The first write that failed.
    failed: Option<Value>,
    /// Whether something else was to be removed after it.
    removed: bool,
    /// A call that was permitted by mistake, and when.
    wrong: Option<String>,
}

/// The outcome of a run: what it printed, the number of its writes, and whether anything was removed after the trouble.
struct Outcome {
    code: Option<i32>,
    stderr: String,
    writes: usize,
    removed_after_trouble: bool,
}

impl Import {
    fn new(app_cache_seconds: &'static str) -> Self {
        let server = TestServer::with_table();
        server.pipe("import -", OLD).succeeds();
        let hook = Arc::new(ServeProcess::over(&server, app_cache_seconds));
        Self { server, hook, app_cache_seconds }
    }

    fn run(&self, trouble: Trouble) -> Outcome {
        let watched = Arc::new(Mutex::new(Watched::default()));
        let hook = Arc::clone(&self.hook);
        let import: Arc<Mutex<Option<Child>>> = Arc::default();
        let (in_proxy, child) = (Arc::clone(&watched), Arc::clone(&import));
        let url = start_proxy(self.server.address, move |request| {
            let body = request.json();
            // One request at a time.
            let mut watched = in_proxy.lock().unwrap();
            let Watched { writes, failed, removed, wrong } = &mut *watched;
            if !request.is_write() {
                let refused = matches!(trouble, Trouble::CutOff(at) if *writes >= at);
                return if refused { Treatment::LoseRequest } else { Treatment::Forward };
            }
            *writes += 1;
            let is_removal = request.writes().iter().any(|(kind, write)| {
                let removes = write["UpdateExpression"].as_str().is_some_and(|text| text.contains("REMOVE"));
                kind == "Delete" || removes
            });
            for caller in REFUSED.into_iter().filter(|caller| is_permitted(&hook, caller)) {
                wrong.get_or_insert(format!("{caller} before write {writes}"));
            }
            let kill = || child.lock().unwrap().as_mut().unwrap().kill().unwrap();
            let response = match trouble {
                Trouble::KilledBefore(at) if *writes == at => {
                    kill();
                    return Treatment::LoseRequest;
                }
                Trouble::Refused(at) if *writes >= at => {
                    // The same request may be sent again.
                    *removed |= is_removal && *failed.get_or_insert(body.clone()) != body;
                    return Treatment::refuse_with("AccessDeniedException", "no longer");
                }
                Trouble::CutOff(at) if *writes >= at => {
                    // The same request may be sent again.
                    *removed |= is_removal && *failed.get_or_insert(body.clone()) != body;
                    return Treatment::LoseRequest;
                }
                _ => Treatment::Respond(request.send(request.operation().unwrap(), &body)),
            };
            for caller in REFUSED.into_iter().filter(|caller| is_permitted(&hook, caller)) {
                wrong.get_or_insert(format!("{caller} after write {writes}, {body}"));
            }
            if trouble == Trouble::KilledAfter(*writes) {
                kill();
            }
            response
        });
        let mut child = import.lock().unwrap();
        let mut command = tool();
        command.args([
            "import",
            "-",
            "--replace",
            "--yes",
            "--concurrency",
            "1",
            "--table",
            TABLE,
            "--endpoint-url",
            &url,
        ]);
        command.env("APP_CACHE_SECONDS", self.app_cache_seconds);
        let mut spawned = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        spawned.stdin.take().unwrap().write_all(NEW.as_bytes()).unwrap();
        let mut stderr_pipe = spawned.stderr.take().unwrap();
        *child = Some(spawned);
        drop(child);
        let mut stderr = String::new();
        stderr_pipe.read_to_string(&mut stderr).unwrap();
        let code = import.lock().unwrap().take().unwrap().wait().unwrap().code();
        let Watched { writes, removed: removed_after_trouble, wrong, .. } = watched.lock().unwrap().clone();
        assert_eq!(wrong, None, "{trouble:?}: a call was permitted that both refuse");
        check_refused(&self.hook, &format!("after {trouble:?}"));
        Outcome { code, stderr, writes, removed_after_trouble }
    }

    /// Checks that the table has exactly the new rules.
    #[track_caller]
    fn check_result(&self, trouble: Trouble) {
        let expected = TestServer::with_table();
        expected.pipe("import -", NEW).succeeds();
        assert_eq!(self.server.run("export").stdout, expected.run("export").stdout, "{trouble:?}");
    }
}

#[test]
fn a_hook_never_permits_what_both_refuse_while_an_import_runs() {
    let import = Import::new("0");
    assert!(is_permitted(&import.hook, "50") && !is_permitted(&import.hook, "70"));
    let Outcome { code, writes, stderr, .. } = import.run(Trouble::None);
    assert!(code == Some(0) && writes >= 8, "{code:?}, {writes}: {stderr}");
    assert!(is_permitted(&import.hook, "70") && !is_permitted(&import.hook, "50"));
    import.check_result(Trouble::None);
}

#[test]
fn an_import_that_is_killed_at_any_write_is_safe_and_completed_by_running_it_again() {
    let writes = Import::new("0").run(Trouble::None).writes;
    for trouble in
        (1..writes).map(Trouble::KilledAfter).chain([Trouble::KilledBefore(1), Trouble::KilledBefore(writes)])
    {
        let import = Import::new("0");
        let Outcome { code, .. } = import.run(trouble);
        assert_eq!(code, None, "{trouble:?}");
        let Outcome { code, stderr, .. } = import.run(Trouble::None);
        assert_eq!(code, Some(0), "{trouble:?}: {stderr}");
        import.check_result(trouble);
    }
}

#[test]
fn an_import_that_fails_at_any_write_removes_nothing_more() {
    let writes = Import::new("0").run(Trouble::None).writes;
    for trouble in (1..=writes).map(Trouble::Refused).chain([1, writes / 2, writes].map(Trouble::CutOff)) {
        let import = Import::new("0");
        let Outcome { code, stderr, removed_after_trouble, .. } = import.run(trouble);
        assert!(code == Some(1) && stderr.contains("rules are written; run the same command again"), "{stderr}");
        assert!(stderr.contains("the first rule that is not confirmed: "), "{stderr}");
        assert!(!removed_after_trouble, "{trouble:?}: {stderr}");
        let Outcome { code, stderr, .. } = import.run(Trouble::None);
        assert_eq!(code, Some(0), "{trouble:?}: {stderr}");
        import.check_result(trouble);
    }
}

#[test]
fn an_import_waits_until_no_function_uses_the_old_rules_of_the_app() {
    let import = Import::new("1");
    let Outcome { code, stderr, .. } = import.run(Trouble::None);
    assert!(code == Some(0) && stderr.contains("waiting 3 seconds"), "{stderr}");
    import.check_result(Trouble::None);
    // The deny of the app's list, which is the first write, is stored, but the hook still has the list without it.
    let import = Import::new("1");
    assert_eq!(import.run(Trouble::KilledAfter(1)).code, None);
    check_refused(&import.hook, "before the second run");
    let Outcome { code, stderr, .. } = import.run(Trouble::None);
    assert!(code == Some(0) && stderr.contains("waiting"), "{stderr}");
    import.check_result(Trouble::None);
}
