# One image for workers, launches and the dashboard.
#
#   docker build -t hpo .                                                       torch for the CPU
#   docker build -t hpo --build-arg TORCH_INDEX=https://pypi.org/simple .       torch with its CUDA libraries
#
# torch brings CUDA itself; the machine gives the driver. Another BASE needs Python 3.11 or newer and useradd.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/hpo
COPY constraints.txt ./
RUN torch="$(sed -n '/^torch==/p' constraints.txt)" \
    && /opt/hpo/bin/pip install --no-deps --index-url "${TORCH_INDEX}" "${torch}"
COPY LICENSE README.md pyproject.toml ./
COPY hpo hpo/
COPY objectives objectives/
COPY studies studies/
RUN /opt/hpo/bin/pip install --constraint constraints.txt '.[offline,image,excel]'

FROM ${BASE}
COPY --from=build /opt/hpo /opt/hpo
# The folders that volumes are laid over: a new volume takes their owner.
RUN useradd --uid 1000 --create-home hpo \
    && install -d -o hpo -g hpo -m 700 /var/lib/hpo /var/cache/huggingface
ENV PATH=/opt/hpo/bin:$PATH HPO_HOME=/var/lib/hpo HF_HOME=/var/cache/huggingface PYTHONUNBUFFERED=1
USER 1000:1000
WORKDIR /home/hpo
ENTRYPOINT ["hpo"]
CMD ["--help"]
