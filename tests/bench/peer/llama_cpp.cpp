// SPDX-License-Identifier: MIT
//
// llama.cpp as a peer of `make bench`: prefill and decode through the interface of libllama, measured as `llmk bench`
// measures ours (one run to warm up, medians, every token's logits but the prompt's), with the CPU backend that the
// first argument names, so that one library serves every instruction set. Weights are repacked as libllama does by
// default; the KV cache is float16, its default too. A program of its own; scripts/build_llama_cpp.py compiles it.
//
//     llama_cpp libggml-cpu.so MODEL THREADS PROMPT DECODE CONTEXT RUNS
//
// With PEER_IS_IK it is ik_llama.cpp's, whose backend is in its library: the first argument is then `repacked`, or
// `as-is`, for weights as the file has them.
//
// CONTEXT tokens are there before each measurement. Prints {"prefill_tok_s": ..., "decode_tok_s": ...}, medians, and
// the same by processor time as prefill_cpu, decode_cpu: what counts where others use the machine too.
#ifndef PEER_IS_IK
#include <ggml-backend.h>
#endif
#include <llama.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <vector>

namespace {

constexpr int kArguments = 8;

[[noreturn]] void die(const char* what)
{
    std::fprintf(stderr, "llama_cpp: %s\n", what);
    std::exit(1);
}

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

double cpu_seconds()
{
    timespec now = {};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

struct Moment {
    double wall = seconds();
    double cpu = cpu_seconds();
};

/// Tokens a second, by the clock and by processor time.
struct Speeds {
    std::vector<double> wall;
    std::vector<double> cpu;

    void add(size_t count, const Moment& from, const Moment& to)
    {
        wall.push_back(static_cast<double>(count) / (to.wall - from.wall));
        cpu.push_back(static_cast<double>(count) / (to.cpu - from.cpu));
    }
};

double median(std::vector<double> values)
{
    std::sort(values.begin(), values.end());
    return values.empty() ? 0.0 : values[values.size() / 2];
}

/// Tokens `from` ... `from + count - 1` of a text that visits the vocabulary; the same as `llmk bench` takes.
std::vector<llama_token> tokens(size_t from, size_t count, size_t vocab)
{
    std::vector<llama_token> made(count);
    for (size_t i = 0; i < count; i++) {
        made[i] = static_cast<llama_token>(3 + (from + i) * 7919 % (vocab - 3));
    }
    return made;
}

#ifdef PEER_IS_IK
llama_model* load(const char* way, const char* path)
{
    llama_model_params parameters = llama_model_default_params();
    parameters.repack_tensors = std::strcmp(way, "repacked") == 0;
    parameters.use_mmap = !parameters.repack_tensors;
    return llama_model_load_from_file(path, parameters);
}

void clear(llama_context* context) { llama_kv_cache_clear(context); }

llama_batch batch_at(std::vector<llama_token>& batch, size_t position)
{
    return llama_batch_get_one(batch.data(), static_cast<int>(batch.size()), static_cast<int>(position), 0);
}
#else
llama_model* load(const char* backend, const char* path)
{
    if (ggml_backend_load(backend) == nullptr) {
        die("the CPU backend does not load");
    }
    return llama_model_load_from_file(path, llama_model_default_params());
}

void clear(llama_context* context) { llama_memory_clear(llama_get_memory(context), false); }

llama_batch batch_at(std::vector<llama_token>& batch, size_t)
{
    return llama_batch_get_one(batch.data(), static_cast<int>(batch.size()));
}
#endif

/// Tokens `from` ... `from + count - 1` at these positions.
void run(llama_context* context, size_t from, size_t count, size_t vocab)
{
    std::vector<llama_token> batch = tokens(from, count, vocab);
    if (!batch.empty() && llama_decode(context, batch_at(batch, from)) != 0) {
        die("the model did not run");
    }
    llama_synchronize(context);
}

void quiet(ggml_log_level level, const char* text, void*)
{
    if (level == GGML_LOG_LEVEL_ERROR) {
        std::fputs(text, stderr);
    }
}

} // namespace

int main(int argc, char** argv)
{
    if (argc != kArguments) {
        die("expected libggml-cpu.so MODEL THREADS PROMPT DECODE CONTEXT RUNS (or repacked, as-is, for "
            "libggml-cpu.so)");
    }
    const int threads = std::atoi(argv[3]);
    const auto prompt = static_cast<size_t>(std::atoi(argv[4]));
    const auto decode = static_cast<size_t>(std::atoi(argv[5]));
    const auto before = static_cast<size_t>(std::atoi(argv[6]));
    const int runs = std::max(1, std::atoi(argv[7]));
    llama_log_set(quiet, nullptr);
    llama_backend_init();
    llama_model* model = load(argv[1], argv[2]);
    if (model == nullptr) {
        die("the model does not load");
    }
    const auto vocab = static_cast<size_t>(llama_vocab_n_tokens(llama_model_get_vocab(model)));
    llama_context_params parameters = llama_context_default_params();
    parameters.n_ctx = static_cast<uint32_t>(before + prompt + decode);
    parameters.n_batch = static_cast<uint32_t>(std::max<size_t>(before + prompt, 1));
    parameters.n_threads = threads;
    parameters.n_threads_batch = threads;
    llama_context* context = llama_init_from_model(model, parameters);
    if (context == nullptr) {
        die("there is no memory for a context");
    }
    Speeds prefill_speeds;
    Speeds decode_speeds;
    for (int i = 0; i <= runs; i++) {
        clear(context);
        run(context, 0, before, vocab);
        const Moment started;
        run(context, before, prompt, vocab);
        const Moment prefilled;
        for (size_t j = 0; j < decode; j++) {
            run(context, before + prompt + j, 1, vocab);
        }
        const Moment ended;
        if (i > 0) {
            prefill_speeds.add(prompt, started, prefilled);
            decode_speeds.add(decode, prefilled, ended);
        }
    }
    std::printf("{\"prefill_tok_s\": %.3f, \"decode_tok_s\": %.3f, \"prefill_cpu\": %.3f, \"decode_cpu\": %.3f}\n",
                median(prefill_speeds.wall), median(decode_speeds.wall), median(prefill_speeds.cpu),
                median(decode_speeds.cpu));
    return 0;
}
