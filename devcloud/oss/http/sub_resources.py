"""The sub-resources and parameters that OSS knows by name: those that V1 signs, and later ones."""

# The query parameters that a V1 signature covers.
_V1_SIGNED = (
    "accessPoint accessPointPolicy acl append asyncFetch bucketArchiveDirectRead bucketInfo callback callback-var cname"
    " comp continuation-token cors delete encryption endTime group httpsConfig img inventory inventoryId lifecycle link"
    " live location logging metaQuery objectInfo objectMeta partNumber policy policyStatus position publicAccessBlock"
    " qos qosInfo qosRequester redundancyTransition referer regionList replication replicationLocation"
    " replicationProgress requestPayment requesterQosInfo resourceGroup resourcePool resourcePoolBuckets"
    " resourcePoolInfo response-cache-control response-content-disposition response-content-encoding"
    " response-content-language response-content-type response-expires restore security-token sequential startTime stat"
    " status style styleName symlink tagging transferAcceleration uploadId uploads versionId versioning versions vod"
    " website worm wormExtend wormId x-oss-ac-forward-allow x-oss-ac-source-ip x-oss-ac-subnet-mask x-oss-ac-vpc-id"
    " x-oss-access-point-name x-oss-async-process x-oss-process x-oss-redundancy-transition-taskid x-oss-request-payer"
    " x-oss-target-redundancy-type x-oss-traffic-limit x-oss-write-get-object-response"
)
V1_SIGNED_PARAMETERS = frozenset(_V1_SIGNED.split())
# Sub-resources of operations that came after signature V1, which V1's list does not contain.
_NEWER = (
    "MetaQuery accessmonitor cleanRestoredObject cloudboxes dataPipeline legalHold metadataConfiguration"
    " metadataInventoryTable metadataJournalTable objectWorm overwriteConfig quota regions retention rtc seal"
    " userDefinedLogFieldsConfig"
)
SUB_RESOURCES = V1_SIGNED_PARAMETERS | frozenset(_NEWER.split())
# Requests of every operation may carry these: signatures, headers of the answer, and who pays.
_ALWAYS_ALLOWED = (
    "Expires OSSAccessKeyId Signature callback callback-var response-cache-control response-content-disposition"
    " response-content-encoding response-content-language response-content-type response-expires security-token"
    " x-oss-access-key-id x-oss-additional-headers x-oss-credential x-oss-date x-oss-expires"
    " x-oss-request-payer x-oss-security-token x-oss-signature x-oss-signature-version x-oss-traffic-limit"
)
ALWAYS_ALLOWED = frozenset(_ALWAYS_ALLOWED.split())
