//! Which fields of pods gannet honours. A field comes off this list when the manifest can express it
//! (`gannet_protocols_model::Manifest`) and the agent does it.

use crate::admit::unsupported::Rule::{
    Honoured, List, Map, Refuse, RefuseOther, RefusePresence, Struct, Warn, WarnOther,
};
use crate::admit::unsupported::Rules;

const VOLUME_KINDS: &str =
    "volumes are of kind emptyDir, configMap, secret, projected, downwardAPI or hostPath";
const NO_SELINUX: &str = "security modules are seccomp and AppArmor";
const NO_TOKEN: &str = "no token of the API is mounted into pods";

/// `spec` of a pod.
pub(in crate::admit) const POD_SPEC: Rules = &[
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
    ("dnsPolicy", Honoured),
    ("dnsConfig", Struct(DNS)),
    ("hostAliases", List(&[("ip", Honoured), ("hostnames", Honoured)])),
    ("hostIPC", Honoured),
    ("hostPID", Honoured),
    ("hostUsers", Honoured),
    ("setHostnameAsFQDN", Honoured),
    ("shareProcessNamespace", Honoured),
    ("activeDeadlineSeconds", Honoured),
    ("readinessGates", List(&[("conditionType", Honoured)])),
    ("affinity", Struct(AFFINITY)),
    ("tolerations", List(TOLERATION)),
    ("schedulerName", WarnOther(&["default-scheduler"], "there is one scheduler")),
    ("enableServiceLinks", Honoured),
    (
        "priorityClassName",
        WarnOther(
            &["system-cluster-critical", "system-node-critical"],
            "there is no such class, the priority is 0",
        ),
    ),
    ("priority", Honoured),
    ("preemptionPolicy", Honoured),
    ("imagePullSecrets", Warn("gateways use the credentials of their own configuration")),
    ("os", Struct(&[("name", RefuseOther(&["linux"], "nodes run Linux"))])),
    ("ephemeralContainers", Refuse("containers cannot be added to a pod")),
    ("hostnameOverride", Refuse("use hostname")),
    ("evictionResponders", Refuse("pods are not evicted by others")),
    ("overhead", Refuse("there are no runtime classes")),
    ("resourceClaims", Refuse("devices cannot be claimed")),
    ("resources", Refuse("resources are a container's, not a pod's")),
    ("runtimeClassName", Refuse("there are no runtime classes")),
    ("schedulingGates", Refuse("pods are scheduled at once")),
    ("schedulingGroup", Refuse("pods are scheduled one by one")),
    ("topologySpreadConstraints", Refuse("pods of one owner are spread over nodes, in no other way")),
];

const DNS: Rules = &[
    ("nameservers", Honoured),
    ("searches", Honoured),
    ("options", List(&[("name", Honoured), ("value", Honoured)])),
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

const POD_SECURITY: Rules = &[
    ("fsGroup", Honoured),
    ("runAsGroup", Honoured),
    ("runAsNonRoot", Honoured),
    ("runAsUser", Honoured),
    ("seccompProfile", Honoured),
    ("supplementalGroups", Honoured),
    // Volumes that live as long as their pod are always given to the group as a whole, in Kubernetes too.
    ("fsGroupChangePolicy", Honoured),
    ("supplementalGroupsPolicy", Honoured),
    ("appArmorProfile", Honoured),
    ("seLinuxChangePolicy", Refuse(NO_SELINUX)),
    ("seLinuxOptions", Refuse(NO_SELINUX)),
    ("sysctls", List(&[("name", Honoured), ("value", Honoured)])),
    ("windowsOptions", Refuse("nodes run Linux")),
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
    ("terminationMessagePath", Honoured),
    ("terminationMessagePolicy", Honoured),
    ("resizePolicy", List(&[("resourceName", Honoured), ("restartPolicy", Honoured)])),
    (
        "lifecycle",
        Struct(&[("postStart", Struct(HOOK)), ("preStop", Struct(HOOK)), ("stopSignal", Honoured)]),
    ),
    ("restartPolicy", Honoured),
    ("restartPolicyRules", Refuse("the pod's restartPolicy holds for all its containers")),
    ("stdin", Refuse("containers have no input")),
    ("stdinOnce", Refuse("containers have no input")),
    ("tty", Refuse("containers have no terminal")),
    ("volumeDevices", Refuse("volumes are directories")),
];

const HOOK: Rules = &[
    ("exec", Honoured),
    ("httpGet", Struct(HTTP_GET)),
    ("sleep", Honoured),
    ("tcpSocket", RefusePresence("hooks are of kind exec, httpGet or sleep")),
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
            ("resourceFieldRef", Struct(RESOURCE_FIELD)),
        ]),
    ),
];

const RESOURCE_FIELD: Rules = &[("containerName", Honoured), ("resource", Honoured), ("divisor", Honoured)];

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

/// Others (`hugepages-2Mi`, `nvidia.com/gpu`) no node has: they are refused.
const RESOURCE: Rules = &[
    ("cpu", Honoured),
    ("memory", Honoured),
    ("ephemeral-storage", Honoured),
    ("devices.gannet.dev/*", Honoured),
];

const MOUNT: Rules = &[
    ("name", Honoured),
    ("mountPath", Honoured),
    ("readOnly", Honoured),
    ("subPath", Honoured),
    ("mountPropagation", Honoured),
    // A container may have it only if possible, and here it never is.
    ("recursiveReadOnly", RefuseOther(&["Disabled", "IfPossible"], "what is mounted below stays writable")),
    ("subPathExpr", Honoured),
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
    ("seccompProfile", Honoured),
    ("appArmorProfile", Honoured),
    ("procMount", Honoured),
    ("seLinuxOptions", Refuse(NO_SELINUX)),
    ("windowsOptions", Refuse("nodes run Linux")),
];

const PROBE: Rules = &[
    ("exec", Honoured),
    ("httpGet", Struct(HTTP_GET)),
    ("tcpSocket", Honoured),
    ("initialDelaySeconds", Honoured),
    ("periodSeconds", Honoured),
    ("timeoutSeconds", Honoured),
    ("successThreshold", Honoured),
    ("failureThreshold", Honoured),
    ("grpc", Struct(&[("port", Honoured), ("service", Honoured)])),
    ("terminationGracePeriodSeconds", Honoured),
];

const HTTP_GET: Rules = &[
    ("host", Honoured),
    ("httpHeaders", Honoured),
    ("path", Honoured),
    ("port", Honoured),
    ("scheme", Honoured),
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
    ("downwardAPI", Struct(&[("defaultMode", Honoured), ("items", List(DOWNWARD_FILE))])),
    ("projected", Struct(&[("defaultMode", Honoured), ("sources", List(PROJECTION))])),
    ("awsElasticBlockStore", RefusePresence(VOLUME_KINDS)),
    ("azureDisk", RefusePresence(VOLUME_KINDS)),
    ("azureFile", RefusePresence(VOLUME_KINDS)),
    ("cephfs", RefusePresence(VOLUME_KINDS)),
    ("cinder", RefusePresence(VOLUME_KINDS)),
    ("csi", RefusePresence(VOLUME_KINDS)),
    ("ephemeral", RefusePresence(VOLUME_KINDS)),
    ("fc", RefusePresence(VOLUME_KINDS)),
    ("flexVolume", RefusePresence(VOLUME_KINDS)),
    ("gitRepo", RefusePresence(VOLUME_KINDS)),
    ("glusterfs", RefusePresence(VOLUME_KINDS)),
    ("image", RefusePresence(VOLUME_KINDS)),
    ("iscsi", RefusePresence(VOLUME_KINDS)),
    ("nfs", RefusePresence(VOLUME_KINDS)),
    ("persistentVolumeClaim", RefusePresence(VOLUME_KINDS)),
    ("rbd", RefusePresence(VOLUME_KINDS)),
];

const DOWNWARD_FILE: Rules = &[
    ("path", Honoured),
    ("mode", Honoured),
    ("fieldRef", Honoured),
    ("resourceFieldRef", Struct(RESOURCE_FIELD)),
];

const PROJECTION: Rules = &[
    ("configMap", Struct(PROJECTED_OBJECT)),
    ("secret", Struct(PROJECTED_OBJECT)),
    ("downwardAPI", Struct(&[("items", List(DOWNWARD_FILE))])),
    ("serviceAccountToken", RefusePresence(NO_TOKEN)),
    ("clusterTrustBundle", RefusePresence("sources are configMap, secret and downwardAPI")),
    ("podCertificate", RefusePresence("sources are configMap, secret and downwardAPI")),
];

const PROJECTED_OBJECT: Rules = &[("name", Honoured), ("optional", Honoured), ("items", List(KEY_TO_PATH))];

const KEY_TO_PATH: Rules = &[("key", Honoured), ("path", Honoured), ("mode", Honoured)];
