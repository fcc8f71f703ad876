# Measurements. Each writes its report, with the command that made it, into benchmarks/results.
# FACES, RUNS, STUDENT, CLIP and TRAIN stand in weights.mk. One after the other: two at once would measure each other.
#   make benchmark-accuracy FACES=...       the packaged student on held-out, strange and damaged faces, and on a clip
#   make benchmark-held-out FACES=...       every engine and precision; BUNDLES="default runs/distill-m/bundle" for more
#   make benchmark-strangers FACES=...      faces of other kinds, and who is read worse
#   make benchmark-contempt FACES=... MODELS="default runs/wild-s/student.pt"   which of them to package, on validation faces
#   make benchmark-uncertain FACES=...      what a least confidence gives
#   make benchmark-robustness FACES=...     blur, distance, light, cover
#   make benchmark-clip FACES=...           a face that goes from crying to smiling
#   make benchmark-precisions FACES=...     what FP16 and INT8 lose, on every engine
#   make benchmark-finetune FACES=...       what training on with a folder of own faces gives, and costs
#   make benchmark-parts FACES=...          what new sets, teacher, long schedule and calibration give, over seeds
#   make benchmark-compound FACES=...       the compounds of CFEE after export: against torch, and INT8
#   make benchmark-networks FACES=...       trained students side by side, and against their teacher
#   make benchmark-enrollment FACES=...     expressions learned on the device, what could be reached, how long it takes
#   make benchmark-gradcam FACES=...        whether a compound looks where its two basic expressions do
#   make benchmark-temporal FACES=...       the temporal encoder against filters, and what it costs
#   make benchmark-training FACES=...       comparisons of continual, few-shot and semi-supervised training
#   make benchmark-rivals FACES=...         other programs with their own weights, and mien on the same faces
#   make benchmark-speed FACES=...          all of the next ten
#   make benchmark-latency                  one face, beside the networks that others run; their multiply-accumulates
#   make benchmark-sizes                    BUNDLES against each other
#   make benchmark-overhead                 predict against its bare engine calls
#   make benchmark-int8-instructions        INT8 on OpenVINO held to smaller instruction sets
#   make benchmark-realtime FACES=...       a clip against its bare engine calls and a naive loop
#   make benchmark-pipeline FACES=...       where the time of a frame goes
#   make benchmark-archive-speed FACES=...  fer-batch: pictures and video an hour, Ray against processes, the driver's share
#   make benchmark-cameras FACES=...        4 and 16 cameras in one process, against a process for each
#   make benchmark-install                  size and import time in an empty environment, beside others
#   make benchmark-rivals-speed             other programs from a frame to its faces, in turn with mien
#   make benchmark-training-speed FACES=... what a training loses to reading and augmenting
#   make benchmark-reliability FACES=...    all of the next seven
#   make benchmark-fuzz SEED=...            10,000 broken and strange inputs
#   make benchmark-kills FACES=...          SIGKILL while results are written
#   make benchmark-soak FACES=...           half an hour as on a camera
#   make benchmark-decoders                 the second decoder against the first
#   make benchmark-turned FACES=...         faces that lie or stand on their heads
#   make benchmark-triton                   the model repository on a real Triton server
#   make benchmark-archive FACES=...        fer-batch with broken inputs, while its driver and workers are killed
#   make benchmark-regression COMMIT=... FACES=...  whether this tree is slower than an earlier commit
BUNDLES ?= default
SEED ?= 0
BENCHMARK = $(DEV)/bin/python -m benchmarks
RESULTS := benchmarks/results

.NOTPARALLEL:
.PHONY: $(shell sed -n 's/^\#   make \(benchmark-[a-z-]*\).*/\1/p' benchmarks.mk) \
    benchmark-encoder benchmark-temporal-speed benchmark-personal benchmark-ceiling benchmark-cfee \
    benchmark-action-units benchmark-enroll-time

benchmark-accuracy: benchmark-held-out benchmark-strangers benchmark-uncertain benchmark-robustness benchmark-clip
benchmark-enrollment: benchmark-personal benchmark-ceiling benchmark-cfee benchmark-action-units benchmark-enroll-time
benchmark-temporal: benchmark-encoder benchmark-temporal-speed
benchmark-speed: benchmark-latency benchmark-sizes benchmark-overhead benchmark-int8-instructions benchmark-realtime \
    benchmark-pipeline benchmark-cameras benchmark-install benchmark-rivals-speed
benchmark-reliability: benchmark-fuzz benchmark-kills benchmark-soak benchmark-decoders benchmark-turned benchmark-triton

benchmark-held-out: $(DEV)/installed
	$(BENCHMARK).accuracy.held_out $(BUNDLES) --data $(FACES)

# CARD=--card writes what was found into the packaged model card, too.
benchmark-strangers: $(DEV)/installed
	$(BENCHMARK).accuracy.strangers default $(wildcard $(RUNS)/distill-s/bundle $(RUNS)/broad-s/student.pt) \
	    --data $(FACES) $(CARD)

benchmark-contempt: $(DEV)/installed
	$(BENCHMARK).accuracy.contempt $(or $(MODELS),default) --data $(FACES)

benchmark-robustness: $(DEV)/installed
	$(BENCHMARK).accuracy.robustness --data $(FACES) $(CARD)

benchmark-int8-instructions: $(DEV)/installed
	$(BENCHMARK).speed.int8_instructions

benchmark-uncertain: $(DEV)/installed
	$(BENCHMARK).accuracy.uncertain --data $(FACES)

# IMAGES=300 draws so many of each set. Installs other programs into the cache folder; some are large.
benchmark-rivals: $(DEV)/installed
	$(BENCHMARK).accuracy.rivals $(if $(IMAGES),--images $(IMAGES)) --data $(FACES)

benchmark-finetune: $(DEV)/installed
	$(BENCHMARK).accuracy.finetune --data $(FACES)

benchmark-parts: $(DEV)/installed $(RUNS)/self-teacher.toml
	$(BENCHMARK).accuracy.parts --data $(FACES)

benchmark-clip: $(DEV)/installed
	$(BENCHMARK).accuracy.clip $(CLIP)

benchmark-precisions: $(DEV)/installed
	$(EXPORT) default -o $(RUNS)/forms --half --openvino --keep-ranges
	$(BENCHMARK).accuracy.precisions $(RUNS)/forms --data $(FACES) --faces 0

benchmark-compound: $(RUNS)/compound-bundle/card.json
	$(BENCHMARK).accuracy.compound $(RUNS)/compound/continual.pt $(<D) --data $(FACES) --faces 0

benchmark-networks: $(DEV)/installed
	$(BENCHMARK).accuracy.networks $(addprefix $(RUNS)/,labels-s labels-m distill-s distill-m)
	$(TRAIN) compare $(RUNS)/distill-s/student.pt $(RUNS)/labels-s/student.pt -o $(RESULTS)/distilled.json --data $(FACES)
	$(TRAIN) compare $(RUNS)/distill-s/student.pt $(RUNS)/teacher.toml -o $(RESULTS)/teacher.json --data $(FACES)

benchmark-personal: $(DEV)/installed
	$(BENCHMARK).enrollment.personal --data $(FACES)

benchmark-ceiling: $(DEV)/installed
	$(BENCHMARK).enrollment.ceiling --data $(FACES)

benchmark-cfee: $(DEV)/installed
	$(BENCHMARK).enrollment.cfee --data $(FACES)

benchmark-action-units: $(DEV)/installed
	$(BENCHMARK).enrollment.action_units --data $(FACES)

# The checkpoint of fer-train continual --recipe cfee, where there is one.
benchmark-gradcam: $(DEV)/installed
	$(BENCHMARK).accuracy.gradcam $(firstword $(wildcard $(RUNS)/cfee/continual.pt) default) --data $(FACES)

benchmark-enroll-time: $(DEV)/installed
	$(BENCHMARK).enrollment.enroll_time

benchmark-encoder: $(DEV)/installed
	$(BENCHMARK).temporal.encoder $(RUNS)/temporal/temporal.pt --data $(FACES) --frame $(RUNS)/frame

benchmark-temporal-speed: $(DEV)/installed
	$(BENCHMARK).temporal.speed $(CLIP)

benchmark-training: $(DEV)/installed
	$(TRAIN) continual default --compare -o $(RUNS)/compare --data $(FACES) && cp $(RUNS)/compare/continual.* $(RESULTS)/
	$(TRAIN) fewshot default -o $(RUNS)/fewshot --data $(FACES) && cp $(RUNS)/fewshot/fewshot.json $(RESULTS)/
	$(TRAIN) semi-compare -o $(RUNS)/semi-compare --data $(FACES) && cp $(RUNS)/semi-compare/semi.* $(RESULTS)/

benchmark-latency: $(DEV)/installed
	$(BENCHMARK).speed.macs
	$(BENCHMARK).speed.latency $(BUNDLES) --budget 240
	$(BENCHMARK).accuracy.held_out --replot  # whose plot shows both

benchmark-sizes: $(DEV)/installed
	$(BENCHMARK).speed.sizes $(BUNDLES)
	$(BENCHMARK).speed.sizes default xs --out $(RESULTS)/sizes_xs.json

benchmark-overhead: $(DEV)/installed
	$(BENCHMARK).speed.overhead

benchmark-realtime: $(DEV)/installed
	$(BENCHMARK).speed.realtime $(CLIP)
	$(BENCHMARK).speed.realtime $(CLIP) --models default xs --devices cpu --out $(RESULTS)/realtime_xs.json

benchmark-pipeline: $(DEV)/installed
	$(BENCHMARK).speed.pipeline $(CLIP) --faces 1 4 16 --lines 360 1080 2160 --frames 60 --rounds 3

benchmark-speed: benchmark-archive-speed
benchmark-reliability: benchmark-archive

benchmark-archive-speed: $(DEV)/installed
	$(BENCHMARK).speed.archive $(CLIP)

benchmark-archive: $(DEV)/installed
	$(BENCHMARK).reliability.archive --data $(FACES)

benchmark-cameras: $(DEV)/installed
	$(BENCHMARK).speed.cameras $(CLIP)

benchmark-install: $(DEV)/installed
	$(BENCHMARK).speed.install

benchmark-rivals-speed: $(DEV)/installed
	$(BENCHMARK).speed.rivals

benchmark-training-speed: $(DEV)/installed
	$(BENCHMARK).speed.training labels-s --data $(FACES)

benchmark-fuzz: $(DEV)/installed
	$(BENCHMARK).reliability.fuzz --count 10000 --seed $(SEED)

benchmark-kills: $(DEV)/installed
	$(BENCHMARK).reliability.kills $(CLIP)

benchmark-soak: $(DEV)/installed
	$(BENCHMARK).reliability.soak $(CLIP) --minutes 30 --video

benchmark-decoders: $(DEV)/installed
	$(BENCHMARK).reliability.decoders

benchmark-turned: $(DEV)/installed
	$(BENCHMARK).reliability.turned --data $(FACES)

benchmark-triton: $(DEV)/installed
	$(BENCHMARK).reliability.triton

benchmark-regression: $(DEV)/installed
	$(BENCHMARK).reliability.regression $(COMMIT) $(CLIP)
