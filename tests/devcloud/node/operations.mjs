// One function per operation: node operations.mjs ENDPOINT BUCKET ID SECRET v1|v4. Prints the result of each as JSON.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";

import OSS from "ali-oss";

const [endpoint, bucket, accessKeyId, accessKeySecret, version] = process.argv.slice(2);
const v4 = version === "v4";
const client = new OSS({
  endpoint,
  bucket,
  accessKeyId,
  accessKeySecret,
  region: "oss-cn-hangzhou",
  authorizationV4: v4,
  sldEnable: true, // the bucket in the path: the bucket's own host name would need DNS
});

async function refused(code, promise) {
  await assert.rejects(promise, (error) => error.code === code);
}

const operations = {
  async put_get() {
    const body = randomBytes(300_000);
    await client.put("a/é b.bin", body);
    assert.deepEqual((await client.get("a/é b.bin")).content, body);
    await refused("NoSuchKey", client.get("missing"));
  },
  async head() {
    await client.put("a", Buffer.from("123"), { headers: { "Content-Type": "image/png" } });
    const { res } = await client.head("a");
    assert.equal(res.headers["content-length"], "3");
    assert.equal(res.headers["content-type"], "image/png");
    await refused("NoSuchKey", client.head("missing"));
  },
  async range() {
    await client.put("a", Buffer.from("0123456789"));
    const { content, res } = await client.get("a", { headers: { Range: "bytes=2-4" } });
    assert.equal(content.toString(), "234");
    assert.equal(res.status, 206);
    assert.equal(res.headers["content-range"], "bytes 2-4/10");
  },
  async meta() {
    await client.put("a", Buffer.from("1"), { meta: { owner: "me" } });
    assert.deepEqual((await client.head("a")).meta, { owner: "me" });
    assert.equal((await client.getObjectMeta("a")).res.headers["content-length"], "1");
    await client.putMeta("a", { owner: "you" });
    assert.deepEqual((await client.head("a")).meta, { owner: "you" });
  },
  async list_v1() {
    for (const name of ["a", "b/1", "b/2", "c", "日本"]) await client.put(name, Buffer.from(""));
    const first = await client.list({ "max-keys": 2, delimiter: "/" });
    assert.deepEqual([first.objects.map((o) => o.name), first.prefixes], [["a"], ["b/"]]);
    const rest = await client.list({ marker: first.nextMarker, delimiter: "/" });
    assert.deepEqual(rest.objects.map((o) => o.name), ["c", "日本"]);
  },
  async list_v2() {
    for (const name of ["a", "b/1", "b/2", "c"]) await client.put(name, Buffer.from(""));
    const first = await client.listV2({ "max-keys": 3 });
    assert.deepEqual(first.objects.map((o) => o.name), ["a", "b/1", "b/2"]);
    const rest = await client.listV2({ "continuation-token": first.nextContinuationToken });
    assert.deepEqual([rest.objects.map((o) => o.name), rest.isTruncated], [["c"], false]);
  },
  async delete() {
    await client.put("a", Buffer.from("1"));
    await client.delete("a");
    await client.delete("a");
    await refused("NoSuchKey", client.get("a"));
  },
  async batch_delete() {
    for (const name of ["a", "b&c", "d"]) await client.put(name, Buffer.from("1"));
    const { deleted } = await client.deleteMulti(["a", "b&c"]);
    assert.deepEqual(deleted.map((item) => item.Key).sort(), ["a", "b&c"]);
    assert.deepEqual((await client.list({})).objects.map((o) => o.name), ["d"]);
  },
  async copy() {
    await client.put("a", Buffer.from("1"), { meta: { owner: "me" } });
    await client.copy("b", "a");
    assert.equal((await client.get("b")).content.toString(), "1");
    assert.deepEqual((await client.head("b")).meta, { owner: "me" });
  },
  async append() {
    const { nextAppendPosition } = await client.append("log", Buffer.from("one"));
    await client.append("log", Buffer.from("two"), { position: nextAppendPosition });
    assert.equal((await client.get("log")).content.toString(), "onetwo");
    await refused("PositionNotEqualToLength", client.append("log", Buffer.from("x"), { position: 1 }));
  },
  async multipart() {
    const parts = [randomBytes(102_400), Buffer.from("end")];
    const { uploadId } = await client.initMultipartUpload("m");
    const done = [];
    for (const [index, part] of parts.entries()) {
      const file = await temporary(part);
      const { etag } = await client.uploadPart("m", uploadId, index + 1, file, 0, part.length);
      done.push({ number: index + 1, etag });
    }
    assert.equal((await client.listParts("m", uploadId)).parts.length, 2);
    assert.equal((await client.listUploads({})).uploads.length, 1);
    await client.completeMultipartUpload("m", uploadId, done);
    assert.deepEqual((await client.get("m")).content, Buffer.concat(parts));
    const { uploadId: other } = await client.initMultipartUpload("m");
    await client.abortMultipartUpload("m", other);
    await refused("NoSuchUpload", client.listParts("m", other));
  },
  async resumable() {
    const body = randomBytes(450_000);
    const file = await temporary(body);
    let checkpoint;
    const stop = new Error("stop");
    const broken = client.multipartUpload("r", file, {
      partSize: 102_400,
      parallel: 1,
      progress: async (done, point) => {
        checkpoint = point;
        if (point && point.doneParts.length === 2) throw stop;
      },
    });
    await assert.rejects(broken);
    await client.multipartUpload("r", file, { partSize: 102_400, checkpoint });
    const target = join(folder, "target");
    await client.get("r", target);
    assert.deepEqual(await readFile(target), body);
  },
  async signed_url() {
    const put = v4
      ? await client.signatureUrlV4("PUT", 60, { headers: {} }, "s")
      : client.signatureUrl("s", { method: "PUT", expires: 60 });
    assert.equal((await fetch(put, { method: "PUT", body: Buffer.from("1") })).status, 200);
    const get = v4 ? await client.signatureUrlV4("GET", 60, { headers: {} }, "s") : client.signatureUrl("s");
    assert.equal(await (await fetch(get)).text(), "1");
    assert.equal((await fetch(get.slice(0, -4))).status, 403);
  },
  async acl() {
    await client.put("a", Buffer.from("1"));
    await client.putACL("a", "public-read");
    assert.equal((await client.getACL("a")).acl, "public-read");
    assert.equal(await (await fetch(`${endpoint}/${bucket}/a`)).text(), "1");
  },
  async tagging() {
    await client.put("a", Buffer.from("1"));
    await client.putObjectTagging("a", { k: "v", "a b": "1+1=2" });
    assert.deepEqual((await client.getObjectTagging("a")).tag, { k: "v", "a b": "1+1=2" });
    await client.deleteObjectTagging("a");
    assert.deepEqual((await client.getObjectTagging("a")).tag, {});
  },
  async symlink() {
    await client.put("a", Buffer.from("1"));
    await client.putSymlink("link", "a");
    assert.equal((await client.getSymlink("link")).targetName, "a");
    assert.equal((await client.get("link")).content.toString(), "1");
  },
  async control_characters() {
    const names = Array.from({ length: 0x20 }, (_, code) => `a${String.fromCharCode(code)}b`);
    for (const name of names) await client.put(name, Buffer.from("1"));
    const listed = await client.listV2({ "encoding-type": "url" });
    assert.deepEqual(listed.objects.map((o) => decodeURIComponent(o.name)), names);
    await client.deleteMulti(names, { quiet: true });
    assert.deepEqual((await client.listV2({})).objects, []);
  },
  async put_stream() {
    const body = randomBytes(300_000);
    const length = body.length;
    // Of a length in the headers ali-oss knows nothing: it adds Transfer-Encoding.
    for (const options of [{}, { contentLength: length }, { headers: { "Content-Length": length } }]) {
      const stream = Readable.from([body.subarray(0, 100_000), body.subarray(100_000)]);
      await client.putStream("a", stream, options);
      assert.deepEqual((await client.get("a")).content, body);
      await client.delete("a");
    }
  },
  async post_form() {
    const expiration = new Date(Date.now() + 60_000).toISOString();
    const policy = { expiration, conditions: [{ bucket }, ["content-length-range", 0, 100]] };
    const form = new FormData();
    form.append("key", "form/a.txt");
    if (v4) {
      const now = new Date();
      const date = now.toISOString().replace(/[-:]|\.\d{3}/g, "");
      const credential = `${accessKeyId}/${date.slice(0, 8)}/cn-hangzhou/oss/aliyun_v4_request`;
      policy.conditions.push(
        { "x-oss-credential": credential },
        { "x-oss-date": date },
        { "x-oss-signature-version": "OSS4-HMAC-SHA256" },
      );
      form.append("x-oss-credential", credential);
      form.append("x-oss-date", date);
      form.append("x-oss-signature-version", "OSS4-HMAC-SHA256");
      form.append("policy", Buffer.from(JSON.stringify(policy)).toString("base64"));
      form.append("x-oss-signature", client.signPostObjectPolicyV4(policy, now));
    } else {
      const signed = client.calculatePostSignature(policy);
      form.append("OSSAccessKeyId", signed.OSSAccessKeyId);
      form.append("policy", signed.policy);
      form.append("Signature", signed.Signature);
    }
    form.append("success_action_status", "201");
    form.append("file", new Blob(["the form's file"]), "a.txt");
    const answer = await fetch(`${endpoint}/${bucket}`, { method: "POST", body: form });
    assert.equal(answer.status, 201, await answer.text());
    assert.equal((await client.get("form/a.txt")).content.toString(), "the form's file");
  },
};

const folder = await mkdtemp(join(tmpdir(), "ali-oss-"));

async function temporary(data) {
  const file = join(folder, randomBytes(8).toString("hex"));
  await writeFile(file, data);
  return file;
}

async function empty() {
  const { objects } = await client.list({});
  if (objects?.length) await client.deleteMulti(objects.map((o) => o.name), { quiet: true });
}

const results = {};
for (const [name, operation] of Object.entries(operations)) {
  try {
    await empty();
    await operation();
    results[name] = "ok";
  } catch (error) {
    results[name] = `${error.stack}`.slice(0, 1000);
  }
}
await rm(folder, { recursive: true });
console.log(JSON.stringify(results));
