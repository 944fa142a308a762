"""A client that knows nothing but our protos: stubs made by grpcio-tools list versions and watch a job."""
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import grpc
from grpc_tools import protoc

SOURCE = pathlib.Path(os.environ["MASBAK_SOURCE"])
BIN = pathlib.Path(os.environ["MASBAK_BIN"])


def make_stubs(folder):
    protos = SOURCE / "services/proto"
    files = sorted(str(file) for file in (protos / "masbak/v1").glob("*.proto"))
    include = pathlib.Path(protoc.__file__).parent / "_proto"
    arguments = ["protoc", f"-I{protos}", f"-I{include}", f"--python_out={folder}", f"--grpc_python_out={folder}"]
    assert protoc.main(arguments + files) == 0
    sys.path.insert(0, str(folder))


def wait_for(what, condition, seconds=60):
    until = time.time() + seconds
    while time.time() < until:
        found = condition()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"did not happen in time: {what}")


def use(folder):
    from masbak.v1 import dataset_pb2, dataset_pb2_grpc, registry_pb2, registry_pb2_grpc
    from masbak.v1 import training_pb2, training_pb2_grpc

    endpoint = wait_for("the endpoint", lambda: (folder / "control/endpoint").exists()
                        and (folder / "control/endpoint").read_text().strip())
    token = (folder / "control/token").read_text().strip()
    metadata = [("authorization", f"Bearer {token}")]
    channel = grpc.insecure_channel(endpoint)
    registry = registry_pb2_grpc.RegistryServiceStub(channel)
    training = training_pb2_grpc.TrainingServiceStub(channel)

    registry.CreateBaseModel(registry_pb2.CreateBaseModelRequest(base_model_id="demo", path=str(folder / "base")),
                             metadata=metadata)
    header = dataset_pb2.CreateDatasetRequest(header=dataset_pb2.CreateDatasetRequest.Header(dataset_id="facts"))
    rows = dataset_pb2.CreateDatasetRequest(chunk=b'{"messages": []}\n')
    dataset_pb2_grpc.DatasetServiceStub(channel).CreateDataset(iter([header, rows]), metadata=metadata)
    job = training.CreateTrainingJob(training_pb2.CreateTrainingJobRequest(
        model="models/python", base_model="baseModels/demo", dataset="datasets/facts",
        run_yaml="training: {max_steps: 5}\n"), metadata=metadata)

    events = list(training.WatchJob(training_pb2.WatchJobRequest(name=job.name), metadata=metadata, timeout=60))
    written = [event.seq for event in events if event.json]
    assert written == list(range(1, 10)), written
    assert events[-1].job.state == training_pb2.JOB_STATE_SUCCEEDED, events[-1]

    versions = registry.ListVersions(registry_pb2.ListVersionsRequest(parent="models/-"), metadata=metadata).versions
    assert [version.name for version in versions] == ["models/python/versions/1"], versions
    assert versions[0].job == job.name
    try:
        registry.GetVersion(registry_pb2.GetVersionRequest(name="models/python/versions/9"), metadata=metadata)
        raise AssertionError("expected NOT_FOUND")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND, error
        details = dict(error.trailing_metadata())["grpc-status-details-bin"]
        assert b"masbak" in details and b"NOT_FOUND" in details


def main():
    with tempfile.TemporaryDirectory(prefix="masbak-test-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)  # PostgreSQL's own user must be able to come in
        (folder / "stubs").mkdir()
        (folder / "base").mkdir()
        (folder / "base/config.json").write_text("{}")
        make_stubs(folder / "stubs")
        worker = SOURCE / "tests/services/fake_worker.py"
        control = subprocess.Popen([BIN / "masbak-controld", "--data", folder / "control", "--listen", "127.0.0.1:0",
                                    "--worker", worker])
        programs = [control]
        try:
            endpoint = wait_for("the endpoint", lambda: (folder / "control/endpoint").exists()
                                and (folder / "control/endpoint").read_text().strip())
            programs.append(subprocess.Popen([BIN / "masbak-noded", "--control", endpoint, "--data", folder / "node",
                                              "--token-file", folder / "control/token", "--worker", worker]))
            use(folder)
        finally:
            for program in reversed(programs):
                program.terminate()
                program.wait(timeout=60)
    print("ok")


if __name__ == "__main__":
    main()
