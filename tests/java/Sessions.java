import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * Plays sessions against a hook over the HTTP client that WCS's User-Agent names, {@link HttpURLConnection} with
 * keep-alive, and checks every answer. The hook must have callgate's sample permissions and gate {@code call}.
 *
 * <p>Usage: {@code java Sessions.java URL SECRET SESSIONS THREADS}
 */
public final class Sessions {
    private static final String FAIL = "\"restOnError\"\\s*:\\s*\"FAIL\"";

    private final String url;
    private final SecretKeySpec key;

    private Sessions(String url, String secret) {
        this.url = url;
        this.key = new SecretKeySpec(secret.getBytes(StandardCharsets.UTF_8), "HmacMD5");
    }

    private record Answer(int status, String contentType, byte[] body) {}

    public static void main(String[] args) throws Exception {
        Sessions sessions = new Sessions(args[0], args[1]);
        int count = Integer.parseInt(args[2]);
        int threads = Integer.parseInt(args[3]);
        // The default of 5 idle connections would close the others.
        System.setProperty("http.maxConnections", args[3]);
        List<Callable<TreeMap<String, Integer>>> tasks = new ArrayList<>();
        for (int session = 0; session < count; session++) {
            int number = session;
            tasks.add(() -> sessions.play(number));
        }
        var pool = Executors.newFixedThreadPool(threads);
        var answers = new TreeMap<String, Integer>();
        try {
            for (Future<TreeMap<String, Integer>> played : pool.invokeAll(tasks)) {
                played.get().forEach((answer, times) -> answers.merge(answer, times, Integer::sum));
            }
        } finally {
            pool.shutdown();
        }
        System.out.println(count + " sessions in " + threads + " threads, every answer as expected: " + answers);
    }

    /** Plays one session. Returns how often each hook got each status. */
    private TreeMap<String, Integer> play(int session) throws Exception {
        var answers = new TreeMap<String, Integer>();
        String id = "/8.8.8.8:" + session + "/46.101.108.90:8443";
        String connect = event(id, "\"mediaProviders\" : [ \"WebRTC\" ]");
        Answer answer = post("connect", connect);
        String config = new String(answer.body(), StandardCharsets.UTF_8);
        // Once for each gated hook.
        expect(answer.status() == 200 && config.split(FAIL, -1).length == 3, "connect", answer);
        answers.merge("connect 200", 1, Integer::sum);

        echoed(answers, "ConnectionStatusEvent", event(id, "\"status\" : \"ESTABLISHED\""));
        echoed(answers, "RegistrationStatusEvent", event(id, "\"status\" : \"REGISTERED\", \"sipMessageRaw\" : \"SIP/2.0 200 OK\\r\\n\""));
        for (String hook : List.of("call", "OnCallEvent")) {
            String incoming = "\"incoming\" : " + hook.equals("OnCallEvent");
            // As long as an offer of a browser.
            String sdp = "\"sdp\" : \"" + "a=candidate:1 1 UDP 2122252543 192.0.2.1 50000 typ host\\r\\n".repeat(40) + "\"";
            echoed(answers, hook, call(id, session, "PPP009", "PPP005", incoming, sdp));
            for (String status : List.of("RING", "ESTABLISHED", "FINISH")) {
                echoed(answers, "CallStatusEvent", call(id, session, "PPP009", "PPP005", incoming, "\"status\" : \"" + status + "\""));
            }
            refused(answers, hook, call(id, session, "PPP009", "PPP006", incoming, sdp));
            refused(answers, hook, call(id, session, "+88161234567", "PPP005", incoming, sdp));
        }
        echoed(answers, "StreamKeepAliveEvent", event(id, "\"status\" : \"PUBLISHING\", \"visible\" : \"\u00e9 \ud83d\ude00\""));
        echoed(answers, "hangup", event(id, "\"callId\" : \"call-" + session + "\""));
        return answers;
    }

    private void echoed(TreeMap<String, Integer> answers, String hook, String body) throws Exception {
        Answer answer = post(hook, body);
        byte[] sent = body.getBytes(StandardCharsets.UTF_8);
        boolean same = java.util.Arrays.equals(answer.body(), sent);
        expect(answer.status() == 200 && same && "application/json".equals(answer.contentType()), hook, answer);
        answers.merge(hook + " 200", 1, Integer::sum);
    }

    private void refused(TreeMap<String, Integer> answers, String hook, String body) throws Exception {
        Answer answer = post(hook, body);
        expect(answer.status() == 403 && answer.body().length == 0, hook, answer);
        answers.merge(hook + " 403", 1, Integer::sum);
    }

    private static void expect(boolean isExpected, String hook, Answer answer) {
        if (!isExpected) {
            String body = new String(answer.body(), StandardCharsets.UTF_8);
            throw new IllegalStateException(hook + ": " + answer.status() + " " + answer.contentType() + " " + body);
        }
    }

    private static String event(String session, String members) {
        return "{\n  \"nodeId\" : \"ah20GKYnbYKxjJmdh1zDs6c1lWkn0Q0t@46.101.108.90\",\n  \"appKey\" : \"defaultApp\",\n"
                + "  \"sessionId\" : \"" + session + "\",\n  " + members + "\n}";
    }

    private static String call(String id, int session, String caller, String callee, String... members) {
        return event(id, "\"callId\" : \"call-" + session + "\", \"caller\" : \"" + caller + "\", \"callee\" : \"" + callee
                + "\", \"hasAudio\" : true, \"hasVideo\" : false, " + String.join(", ", members));
    }

    private Answer post(String hook, String body) throws Exception {
        byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
        var connection = (HttpURLConnection) URI.create(url + "/" + hook).toURL().openConnection();
        connection.setRequestMethod("POST");
        connection.setDoOutput(true);
        connection.setConnectTimeout(30_000);
        connection.setReadTimeout(30_000);
        connection.setRequestProperty("Accept", "application/json");
        connection.setRequestProperty("Content-Type", "application/json;charset=UTF-8");
        connection.setRequestProperty("Authorization", "WCS " + sign(bytes));
        try (var out = connection.getOutputStream()) {
            out.write(bytes);
        }
        int status = connection.getResponseCode();
        // Read to its end, so that the connection is used again.
        try (InputStream in = status < 400 ? connection.getInputStream() : connection.getErrorStream()) {
            return new Answer(status, connection.getContentType(), read(in));
        }
    }

    private static byte[] read(InputStream in) throws IOException {
        var body = new ByteArrayOutputStream();
        if (in != null) {
            in.transferTo(body);
        }
        return body.toByteArray();
    }

    private String sign(byte[] body) throws Exception {
        Mac mac = Mac.getInstance("HmacMD5");
        mac.init(key);
        return java.util.HexFormat.of().formatHex(mac.doFinal(body));
    }
}
