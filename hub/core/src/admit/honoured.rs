//! Which fields of pods and services gannet honours. A field comes off this list when the manifest can express it
//! (`gannet_protocols_model::Manifest`) and the agent does it.

use super::unsupported::Rule::{
    Honoured, List, Map, Refuse, RefuseOther, RefusePresence, Struct, Warn, WarnOther,
};
use super::unsupported::Rules;

const VOLUME_KINDS: &str = "volumes are of kind emptyDir, configMap, secret or hostPath";
const ONE_KERNEL: &str = "containers get the node's own security modules and no others";
const NO_TOKEN: &str = "no token of the API is mounted into pods";

/// `spec` of a pod.
pub(super) const POD_SPEC: Rules = &[
    ("containers", List(CONTAINER)),
    ("initContainers", List(CONTAINER)),
    ("volumes", List(VOLUME)),
    ("securityContext", Struct(POD_SECURITY)),
    ("restartPolicy", Honoured),
    ("terminationGracePeriodSeconds", Honoured),
    ("hostNetwork", Honoured),
    ("hostname", Honoured),
    ("subdomain", Honoured),
    ("nodeName", Honoured),
    ("nodeSelector", Honoured),
    ("serviceAccountName", WarnOther(&["default"], NO_TOKEN)),
    ("serviceAccount", WarnOther(&["default"], NO_TOKEN)),
    ("automountServiceAccountToken", Warn(NO_TOKEN)),
    (
        "dnsPolicy",
        RefuseOther(
            &["ClusterFirst", "ClusterFirstWithHostNet", "Default"],
            "name servers are the cluster's or the node's",
        ),
    ),
    ("affinity", Struct(AFFINITY)),
    ("tolerations", List(TOLERATION)),
    ("schedulerName", WarnOther(&["default-scheduler"], "there is one scheduler")),
    ("enableServiceLinks", Warn("services are found by DNS, not by variables")),
    ("priorityClassName", Warn("all pods have the same priority")),
    ("priority", WarnOther(&["0"], "all pods have the same priority")),
    ("preemptionPolicy", WarnOther(&["PreemptLowerPriority"], "all pods have the same priority")),
    ("imagePullSecrets", Warn("gateways use the credentials of their own configuration")),
    ("os", Struct(&[("name", RefuseOther(&["linux"], "nodes run Linux"))])),
    ("activeDeadlineSeconds", Refuse("pods have no time limit")),
    ("dnsConfig", Refuse("name servers are the cluster's or the node's")),
    ("ephemeralContainers", Refuse("containers cannot be added to a pod")),
    ("hostAliases", Refuse("/etc/hosts holds the pod's own name alone")),
    ("hostIPC", Refuse("pods have an IPC namespace of their own")),
    ("hostPID", Refuse("containers have a PID namespace of their own")),
    ("hostUsers", RefuseOther(&["true"], "pods share the node's user namespace")),
    ("hostnameOverride", Refuse("use hostname")),
    ("evictionResponders", Refuse("pods are not evicted by others")),
    ("overhead", Refuse("there are no runtime classes")),
    ("readinessGates", Refuse("a pod is ready when its containers are")),
    ("resourceClaims", Refuse("devices cannot be claimed")),
    ("resources", Refuse("resources are a container's, not a pod's")),
    ("runtimeClassName", Refuse("there are no runtime classes")),
    ("schedulingGates", Refuse("pods are scheduled at once")),
    ("schedulingGroup", Refuse("pods are scheduled one by one")),
    ("setHostnameAsFQDN", Refuse("the host name is the short one")),
    ("shareProcessNamespace", Refuse("containers have a PID namespace of their own")),
    ("topologySpreadConstraints", Refuse("pods of one owner are spread over nodes, in no other way")),
];

const AFFINITY: Rules = &[
    (
        "nodeAffinity",
        Struct(&[
            ("requiredDuringSchedulingIgnoredDuringExecution", Honoured),
            ("preferredDuringSchedulingIgnoredDuringExecution", Warn("only what is required decides")),
        ]),
    ),
    ("podAffinity", Struct(AFFINITY_TERMS)),
    ("podAntiAffinity", Struct(AFFINITY_TERMS)),
];

const AFFINITY_TERMS: Rules = &[
    ("requiredDuringSchedulingIgnoredDuringExecution", Refuse("a pod's place does not depend on other pods")),
    (
        "preferredDuringSchedulingIgnoredDuringExecution",
        Warn("pods of one owner are spread over nodes, no others"),
    ),
];

const TOLERATION: Rules = &[
    ("key", Honoured),
    ("operator", Honoured),
    ("value", Honoured),
    ("effect", Honoured),
    ("tolerationSeconds", Warn("taints keep new pods away, and move none")),
];

/// `spec.taints` of a node.
pub(super) const TAINT: Rules = &[
    ("key", Honoured),
    ("value", Honoured),
    ("timeAdded", Honoured),
    ("effect", WarnOther(&["NoSchedule"], "taints keep new pods away, and move none")),
];

const POD_SECURITY: Rules = &[
    ("fsGroup", Honoured),
    ("runAsGroup", Honoured),
    ("runAsNonRoot", Honoured),
    ("runAsUser", Honoured),
    ("seccompProfile", Struct(SECCOMP)),
    ("supplementalGroups", Honoured),
    ("fsGroupChangePolicy", WarnOther(&["Always"], "volumes are always given to the group as a whole")),
    ("supplementalGroupsPolicy", RefuseOther(&["Merge"], "groups of the image are kept")),
    ("appArmorProfile", Refuse(ONE_KERNEL)),
    ("seLinuxChangePolicy", Refuse(ONE_KERNEL)),
    ("seLinuxOptions", Refuse(ONE_KERNEL)),
    ("sysctls", Refuse("kernel parameters are the node's")),
    ("windowsOptions", Refuse("nodes run Linux")),
];

const SECCOMP: Rules = &[
    ("type", RefuseOther(&["RuntimeDefault", "Unconfined"], "profiles cannot be taken from the node")),
    ("localhostProfile", Refuse("profiles cannot be taken from the node")),
];

const CONTAINER: Rules = &[
    ("name", Honoured),
    ("image", Honoured),
    ("imagePullPolicy", Honoured),
    ("command", Honoured),
    ("args", Honoured),
    ("workingDir", Honoured),
    ("env", List(ENV)),
    ("envFrom", List(&[("configMapRef", Honoured), ("secretRef", Honoured), ("prefix", Honoured)])),
    ("ports", List(PORT)),
    ("resources", Struct(RESOURCES)),
    ("volumeMounts", List(MOUNT)),
    ("securityContext", Struct(SECURITY)),
    ("livenessProbe", Struct(PROBE)),
    ("readinessProbe", Struct(PROBE)),
    ("startupProbe", Struct(PROBE)),
    ("terminationMessagePath", WarnOther(&["/dev/termination-log"], "last words are not read")),
    ("terminationMessagePolicy", WarnOther(&["File"], "last words are not read")),
    ("resizePolicy", Warn("a pod with other resources is a new pod")),
    ("lifecycle", Refuse("there are no hooks")),
    (
        "restartPolicy",
        Refuse("the pod's restartPolicy holds for all its containers, and init containers end"),
    ),
    ("restartPolicyRules", Refuse("the pod's restartPolicy holds for all its containers")),
    ("stdin", Refuse("containers have no input")),
    ("stdinOnce", Refuse("containers have no input")),
    ("tty", Refuse("containers have no terminal")),
    ("volumeDevices", Refuse("volumes are directories")),
];

const ENV: Rules = &[
    ("name", Honoured),
    ("value", Honoured),
    (
        "valueFrom",
        Struct(&[
            ("configMapKeyRef", Honoured),
            ("secretKeyRef", Honoured),
            ("fieldRef", Honoured),
            ("fileKeyRef", RefusePresence("variables come from fields, ConfigMaps and Secrets")),
            ("resourceFieldRef", RefusePresence("variables come from fields, ConfigMaps and Secrets")),
        ]),
    ),
];

const PORT: Rules = &[
    ("name", Honoured),
    ("containerPort", Honoured),
    ("hostPort", Honoured),
    ("protocol", RefuseOther(&["TCP", "UDP"], "protocols are TCP and UDP")),
    ("hostIP", RefuseOther(&["0.0.0.0"], "a host port is open at every address of the node")),
];

const RESOURCES: Rules = &[
    ("limits", Map(RESOURCE)),
    ("requests", Map(RESOURCE)),
    ("claims", Refuse("devices cannot be claimed")),
];

/// Others (`hugepages-2Mi`, `nvidia.com/gpu`) are not known, and so refused.
const RESOURCE: Rules = &[
    ("cpu", Honoured),
    ("memory", Honoured),
    ("ephemeral-storage", Warn("the size of what a container writes is not limited")),
];

const MOUNT: Rules = &[
    ("name", Honoured),
    ("mountPath", Honoured),
    ("readOnly", Honoured),
    ("subPath", Honoured),
    ("mountPropagation", RefuseOther(&["None"], "mounts do not spread")),
    ("recursiveReadOnly", RefuseOther(&["Disabled"], "what is mounted below stays writable")),
    ("subPathExpr", Refuse("use subPath")),
    ("bindMountOptions", Refuse("mounts have no options but readOnly")),
];

const SECURITY: Rules = &[
    ("allowPrivilegeEscalation", Honoured),
    ("capabilities", Honoured),
    ("privileged", Honoured),
    ("readOnlyRootFilesystem", Honoured),
    ("runAsGroup", Honoured),
    ("runAsNonRoot", Honoured),
    ("runAsUser", Honoured),
    ("seccompProfile", Struct(SECCOMP)),
    ("appArmorProfile", Refuse(ONE_KERNEL)),
    ("procMount", RefuseOther(&["Default"], "/proc is masked")),
    ("seLinuxOptions", Refuse(ONE_KERNEL)),
    ("windowsOptions", Refuse("nodes run Linux")),
];

const PROBE: Rules = &[
    ("exec", Honoured),
    (
        "httpGet",
        Struct(&[
            ("host", Honoured),
            ("httpHeaders", Honoured),
            ("path", Honoured),
            ("port", Honoured),
            ("scheme", Honoured),
        ]),
    ),
    ("tcpSocket", Honoured),
    ("initialDelaySeconds", Honoured),
    ("periodSeconds", Honoured),
    ("timeoutSeconds", Honoured),
    ("successThreshold", Honoured),
    ("failureThreshold", Honoured),
    ("grpc", RefusePresence("probes are of kind exec, httpGet or tcpSocket")),
    ("terminationGracePeriodSeconds", Warn("the pod's grace period holds")),
];

const VOLUME: Rules = &[
    ("name", Honoured),
    (
        "emptyDir",
        Struct(&[
            ("medium", RefuseOther(&["Memory"], "an emptyDir is on disk or in memory")),
            ("sizeLimit", Honoured),
        ]),
    ),
    (
        "configMap",
        Struct(&[
            ("name", Honoured),
            ("optional", Honoured),
            ("defaultMode", Honoured),
            ("items", List(KEY_TO_PATH)),
        ]),
    ),
    (
        "secret",
        Struct(&[
            ("secretName", Honoured),
            ("optional", Honoured),
            ("defaultMode", Honoured),
            ("items", List(KEY_TO_PATH)),
        ]),
    ),
    ("hostPath", Struct(&[("path", Honoured), ("type", Honoured)])),
    ("awsElasticBlockStore", RefusePresence(VOLUME_KINDS)),
    ("azureDisk", RefusePresence(VOLUME_KINDS)),
    ("azureFile", RefusePresence(VOLUME_KINDS)),
    ("cephfs", RefusePresence(VOLUME_KINDS)),
    ("cinder", RefusePresence(VOLUME_KINDS)),
    ("csi", RefusePresence(VOLUME_KINDS)),
    ("downwardAPI", RefusePresence(VOLUME_KINDS)),
    ("ephemeral", RefusePresence(VOLUME_KINDS)),
    ("fc", RefusePresence(VOLUME_KINDS)),
    ("flexVolume", RefusePresence(VOLUME_KINDS)),
    ("gitRepo", RefusePresence(VOLUME_KINDS)),
    ("glusterfs", RefusePresence(VOLUME_KINDS)),
    ("image", RefusePresence(VOLUME_KINDS)),
    ("iscsi", RefusePresence(VOLUME_KINDS)),
    ("nfs", RefusePresence(VOLUME_KINDS)),
    ("persistentVolumeClaim", RefusePresence(VOLUME_KINDS)),
    ("projected", RefusePresence(VOLUME_KINDS)),
    ("rbd", RefusePresence(VOLUME_KINDS)),
];

const KEY_TO_PATH: Rules = &[("key", Honoured), ("path", Honoured), ("mode", Honoured)];

/// `spec` of a service.
pub(super) const SERVICE_SPEC: Rules = &[
    ("type", RefuseOther(&["ClusterIP", "NodePort", "LoadBalancer"], "there are no names for other names")),
    ("selector", Honoured),
    ("clusterIP", Honoured),
    ("clusterIPs", Honoured),
    ("ports", List(SERVICE_PORT)),
    ("sessionAffinity", Honoured),
    ("sessionAffinityConfig", Honoured),
    ("allocateLoadBalancerNodePorts", Honoured),
    ("publishNotReadyAddresses", Warn("a gateway sends nothing to its own pods that are not ready")),
    ("ipFamilies", RefuseOther(&["IPv4"], "services have IPv4 addresses")),
    ("ipFamilyPolicy", RefuseOther(&["SingleStack", "PreferDualStack"], "services have IPv4 addresses")),
    ("internalTrafficPolicy", WarnOther(&["Cluster"], "traffic goes to all nodes")),
    ("externalTrafficPolicy", WarnOther(&["Cluster"], "traffic goes to all nodes")),
    ("trafficDistribution", Warn("traffic goes to all nodes")),
    ("healthCheckNodePort", Warn("there is no outside load balancer to ask")),
    ("loadBalancerIP", Warn("the service is at the addresses of the nodes")),
    ("loadBalancerSourceRanges", Refuse("traffic is not filtered by its source")),
    ("loadBalancerClass", Refuse("there is one kind of load balancer")),
    ("externalIPs", Refuse("the service is at the addresses of the nodes")),
    ("externalName", Refuse("there are no names for other names")),
];

const SERVICE_PORT: Rules = &[
    ("name", Honoured),
    ("port", Honoured),
    ("targetPort", Honoured),
    ("nodePort", Honoured),
    ("protocol", RefuseOther(&["TCP", "UDP"], "protocols are TCP and UDP")),
    ("appProtocol", Honoured),
];
