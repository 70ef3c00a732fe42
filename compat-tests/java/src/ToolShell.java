import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs main classes one after the other in one virtual machine, because each start of one costs a second or more.
 *
 * A request is a line {"main": class, "args": [...], "input": text for standard input}; its answer is a line
 * {"exitCode", "stdout", "stderr"}. A tool that wants to exit only ends its own run. One run at a time: standard output
 * belongs to the whole machine.
 */
public final class ToolShell {
    /** Thrown in place of an exit. An Error, so that a tool that catches every Exception lets it pass. */
    private static final class Exited extends Error {
        private static final long serialVersionUID = 1;

        Exited() {
            super(null, null, false, false);
        }
    }

    /**
     * Standard output and error of the running tool. Never replaced itself, because loggers and Scala's console keep
     * the stream that they find when they are first used.
     */
    private static final class Capture extends OutputStream {
        private ByteArrayOutputStream bytes = new ByteArrayOutputStream();

        @Override
        public synchronized void write(int value) {
            bytes.write(value);
        }

        @Override
        public synchronized void write(byte[] buffer, int from, int count) {
            bytes.write(buffer, from, count);
        }

        synchronized String take() {
            String text = bytes.toString(StandardCharsets.UTF_8);
            bytes = new ByteArrayOutputStream();
            return text;
        }
    }

    private static Integer exitCode;

    public static void main(String[] args) throws Exception {
        BufferedReader requests = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream answers = System.out;
        Capture out = new Capture();
        Capture err = new Capture();
        PrintStream toolOut = new PrintStream(out, true, StandardCharsets.UTF_8);
        PrintStream toolErr = new PrintStream(err, true, StandardCharsets.UTF_8);
        System.setOut(toolOut);
        System.setErr(toolErr);
        Exit.Procedure exit = (code, message) -> {
            // The first one counts: a tool may catch what is thrown here and exit again.
            if (exitCode == null) exitCode = code;
            throw new Exited();
        };
        Exit.setExitProcedure(exit);
        Exit.setHaltProcedure(exit);
        List<Runnable> shutdownHooks = new ArrayList<>();
        Exit.setShutdownHookAdder((name, hook) -> shutdownHooks.add(hook));

        ObjectMapper json = new ObjectMapper();
        for (String line = requests.readLine(); line != null; line = requests.readLine()) {
            Request request = json.readValue(line, Request.class);
            System.setIn(new ByteArrayInputStream(request.input.getBytes(StandardCharsets.UTF_8)));
            exitCode = null;
            shutdownHooks.clear();
            int code = run(request);
            // The console producer, for one, sends what it still has in its hook.
            shutdownHooks.forEach(Runnable::run);
            toolOut.flush();
            toolErr.flush();
            ObjectNode answer = json.createObjectNode();
            answer.put("exitCode", code).put("stdout", out.take()).put("stderr", err.take());
            answers.println(json.writeValueAsString(answer));
            answers.flush();
        }
        // Tools leave threads and shutdown hooks behind that would keep the machine alive.
        Runtime.getRuntime().halt(0);
    }

    private static int run(Request request) {
        try {
            Object args = request.args;
            Class.forName(request.main).getMethod("main", String[].class).invoke(null, args);
        } catch (InvocationTargetException thrown) {
            if (!(thrown.getCause() instanceof Exited)) {
                thrown.getCause().printStackTrace();
                return exitCode == null ? 1 : exitCode;
            }
        } catch (ReflectiveOperationException problem) {
            problem.printStackTrace();
            return 1;
        }
        return exitCode == null ? 0 : exitCode;
    }

    public static final class Request {
        public String main;
        public String[] args;
        public String input;
    }
}
