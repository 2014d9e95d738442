import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.opensearch.common.settings.Settings;
import org.opensearch.env.Environment;
import org.opensearch.node.Node;
import org.opensearch.transport.Netty4Plugin;

/** One node of OpenSearch on the loopback: {@code Launcher DIR PORT}. */
public final class Launcher {
    /** The constructor that takes plugins from the class path is protected. */
    private static final class OneNode extends Node {
        OneNode(Environment environment) {
            super(environment, List.of(Netty4Plugin.class), true);
        }
    }

    public static void main(String[] arguments) throws Exception {
        Path home = Path.of(arguments[0]).toAbsolutePath();
        Settings settings = Settings.builder()
            .put("path.home", home)
            .put("path.data", home.resolve("data"))
            .put("cluster.name", "ringmill-tests")
            .put("node.name", "one")
            .put("discovery.type", "single-node")
            .put("transport.type", "netty4")
            .put("http.type", "netty4")
            .put("network.host", "127.0.0.1")
            .put("http.port", arguments[1])
            .put("transport.port", "0")
            // Disks of test machines are fuller than the 90 % from which it takes no more.
            .put("cluster.routing.allocation.disk.threshold_enabled", false)
            .build();
        Files.createDirectories(home.resolve("config"));
        Node node = new OneNode(new Environment(settings, home.resolve("config")));
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                node.close();
            } catch (Exception failed) {
                failed.printStackTrace();
            }
        }));
        node.start();
        System.out.println("started");
        new CountDownLatch(1).await();
    }
}
